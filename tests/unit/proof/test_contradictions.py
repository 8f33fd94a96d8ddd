"""Records that say two things, images that are not what they were, and a judge that changes while it judges."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from metallize import deciding
from metallize.build.generator import sha256_of
from metallize.build.store import Store, Stored
from metallize.errors import HostError
from metallize.files.json_file import read_mapping
from metallize.proof import Proof, record_of, records_in
from tests.unit.proof.proofs import OVMF, SEABIOS, booted, proven, report_of


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "web.img"
    path.write_bytes(b"an image")
    return path


def first(content: dict[str, Any]) -> dict[str, Any]:
    boot: dict[str, Any] = content["machines"][0]
    return boot


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a result that failed": lambda it: first(it)["results"][0].update(status="failed"),
    "a result that nobody saw": lambda it: first(it)["results"][-1].update(status="unseen"),
    "a result of no known status": lambda it: first(it)["results"][0].update(status="fine"),
    "a failure": lambda it: first(it).update(failure={"rule": "kernel-panic"}),
    "no results": lambda it: first(it).update(results=[]),
    "results that are left out": lambda it: first(it).pop("results"),
    "results of another type": lambda it: first(it).update(results=["held"]),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_passed_by_its_verdict_and_not_by_its_results_proves_nothing(image: Path, what: str) -> None:
    proven(image, SEABIOS)
    content = json.loads(record_of(image).read_text())
    CONTRADICTIONS[what](content)
    record_of(image).write_text(json.dumps(content))
    known = Proof.load(image)
    assert not known.whole
    assert not known.covers(sha256_of(image), [SEABIOS])
    assert "cannot be read" in known.trouble


def test_a_record_that_cannot_be_read_hides_none_after_it(image: Path) -> None:
    proven(image, SEABIOS)
    for name in ("a.iso", "z.iso"):
        record_of(image.with_name(name)).write_text("{")
    assert [record["verdict"] for record in records_in(image.parent)] == ["passed"]


def test_what_a_killed_process_left_of_a_record_is_no_obstacle(image: Path) -> None:
    (image.parent / f".{record_of(image).name}.part").write_text("{")
    proven(image, SEABIOS)
    assert Proof.load(image).whole


def test_what_failed_may_hold_results_of_any_kind(image: Path) -> None:
    booted(image, SEABIOS, passed=False).asking([SEABIOS], plan="p", profile="web.yaml").save(image)
    assert Proof.load(image).refutes(SEABIOS)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "b": {"verdict": "failed", "verdict": "passed"}}', '{"a": 1, "a": 1}', '{"a": 1e999}', '{"a": -1e999}'],
)
def test_what_two_readers_read_in_two_ways_is_not_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"twice|larger than a number can be"):
        read_mapping(path)


@pytest.mark.parametrize("why", ["no number", "a full disk"])
def test_nothing_is_left_of_a_record_that_cannot_be_written(
    image: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = booted(image, SEABIOS)
    if why == "no number":
        endless = replace(report_of(OVMF), seconds=math.inf)
        known = known.with_boots(sha256_of(image), [OVMF], [endless])
    else:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises((ValueError, HostError)):
        known.save(image)
    assert [path.name for path in image.parent.iterdir()] == [image.name]


def test_a_link_that_waits_in_the_place_of_a_record_under_way_leads_nowhere(image: Path) -> None:
    victim = image.parent / "victim"
    victim.write_text("as it was")
    (image.parent / f".{record_of(image).name}.part").symlink_to(victim)
    proven(image, SEABIOS)
    assert victim.read_text() == "as it was"
    assert not record_of(image).is_symlink()


def test_who_judged_while_the_package_changed_is_nobody(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(image, SEABIOS)
    before = deciding.judge()
    assert deciding.is_one_judge()
    monkeypatch.setattr(deciding, "_stamps", lambda _: object())
    assert deciding.is_one_judge(), "files that were touched, and say what they said"
    monkeypatch.setattr(deciding, "judge_in", lambda _: "another package")
    meanwhile = booted(image, OVMF)
    assert not meanwhile.holds(OVMF)
    assert meanwhile.holds(SEABIOS), "that was before"
    monkeypatch.undo()
    assert booted(image, OVMF).holds(OVMF)
    assert deciding.judge() == before


# --- the image -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    store = Store(build_dir=tmp_path / "build", file="web.img")
    made = tmp_path / "build" / "made"
    made.parent.mkdir()
    made.write_bytes(b"good")
    store.publish(made, {"sha256": sha256_of(made), "format": "raw", "inputs": "x", "size": 4})
    found = store.any()
    assert found is not None
    return found


def write_in_place(path: Path) -> None:
    path.write_bytes(b"evil")


def replace_by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"evil")
    other.replace(path)


WRITES: dict[str, Callable[[Path], None]] = {
    "written to": write_in_place,
    "replaced": replace_by_another,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("what", WRITES)
def test_an_image_that_somebody_touched_while_it_was_booted_is_told(stored: Stored, what: str) -> None:
    """With the times of before, which anybody can set."""
    stored.require_untouched()
    before = stored.path.stat()
    WRITES[what](stored.path)
    if stored.path.exists():
        os.utime(stored.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(HostError, match="is not the file any more whose boot began"):
        stored.require_untouched()


@pytest.mark.parametrize("write", [write_in_place, replace_by_another])
def test_times_that_were_put_back_hide_no_other_bytes(stored: Stored, write: Callable[[Path], None]) -> None:
    store = Store(build_dir=stored.path.parent, file="web.img")
    before = stored.path.stat()
    write(stored.path)
    os.utime(stored.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stored.path.stat().st_size == before.st_size
    assert store.any() is None


def test_the_same_bytes_are_known_again_whatever_their_times(stored: Stored) -> None:
    stored.path.touch()
    again = Store(build_dir=stored.path.parent, file="web.img").any()
    assert again is not None
    again.require_untouched()
    stored.require_untouched()


def test_a_file_is_read_to_its_end_in_whatever_pieces_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(os.urandom(70_000))
    whole = sha256_of(path)
    real = Path.open

    class Short:
        """A file of a network's filesystem, which gives less than it was asked for."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def read(self, count: int) -> bytes:
            data: bytes = self._file.read(min(count, 1000))
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    monkeypatch.setattr(Path, "open", lambda self, *args, **named: Short(real(self, *args, **named)))
    assert sha256_of(path) == whole
