"""Images and evidence in a folder that all hosts see: whole or not at all, by digest, and gone with the night."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.errors import HostError, UsageError
from metallize.night.executors import executor_at
from metallize.night.fleet import shared
from metallize.night.fleet.cache import ImageCache
from metallize.night.fleet.carrying import source_at
from metallize.night.fleet.depot import Address
from metallize.night.fleet.fetching import FromDepot
from metallize.night.fleet.shared import FromShared, SharedDepot, sharing
from tests.unit.night.fleet.conftest import Fleet, FleetNight, eventually
from tests.unit.night.fleet.test_fleet import outcome

IMAGE = b"an image\n" * 1000 + bytes(3 << 20) + b"its end"
DIGEST = hashlib.sha256(IMAGE).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "shared"
    found.mkdir()
    return found


@pytest.fixture
def depot(folder: Path) -> Iterator[SharedDepot]:
    with sharing(folder) as found:
        yield found


def offered(depot: SharedDepot, tmp_path: Path) -> Path:
    path = tmp_path / "web.iso"
    path.write_bytes(IMAGE)
    depot.offer(DIGEST, lambda: path)
    return path


def test_an_image_travels_whole_and_once(depot: SharedDepot, folder: Path, tmp_path: Path) -> None:
    path = offered(depot, tmp_path)
    [there] = folder.glob("*/images/*")
    assert there.name == DIGEST
    assert there.stat().st_nlink == path.stat().st_nlink == 1, "whoever writes there writes to no image of the night's"
    path.unlink()
    depot.offer(DIGEST, lambda: path)  # it is there
    cache = ImageCache(folder=tmp_path / "images", most_bytes=10 << 20)
    source = FromShared(address=depot.address)
    for _ in range(2):
        with cache.image(DIGEST, len(IMAGE), lambda sink: source.image(DIGEST, sink)) as stored:
            assert stored.path.read_bytes() == IMAGE
            assert stored.path.stat().st_blocks * 512 < len(IMAGE) - (1 << 20), "a hole stays one"
        shutil.rmtree(there.parent, ignore_errors=True)


def test_a_worker_may_have_the_folder_elsewhere(depot: SharedDepot, folder: Path, tmp_path: Path) -> None:
    offered(depot, tmp_path)
    moved = folder.rename(tmp_path / "mnt")
    with pytest.raises(HostError, match="is not in the shared folder") as caught, (tmp_path / "x").open("wb") as sink:
        source_at(depot.address, None, None).image(DIGEST, sink)
    assert "metallize worker --shared" in str(caught.value.hint)
    with (tmp_path / "x").open("wb") as sink:
        source_at(depot.address, None, moved).image(DIGEST, sink)
    assert (tmp_path / "x").read_bytes() == IMAGE
    assert isinstance(source_at(Address(host="h", port=1, token="t", tls=False), None, moved), FromDepot)
    moved.rename(folder)


def test_what_was_changed_there_is_believed_by_nobody(depot: SharedDepot, tmp_path: Path) -> None:
    offered(depot, tmp_path)
    (depot.folder / "images" / DIGEST).write_bytes(b"X" + IMAGE[1:])
    cache = ImageCache(folder=tmp_path / "images", most_bytes=10 << 20)
    source = FromShared(address=depot.address)
    with (
        pytest.raises(HostError, match="is not that image"),
        cache.image(DIGEST, len(IMAGE), lambda sink: source.image(DIGEST, sink)),
    ):
        pytest.fail("it is taken")
    path = tmp_path / "evidence"
    path.write_bytes(IMAGE)
    source.evidence(DIGEST, path)
    found = depot.evidence(DIGEST)
    assert found is not None
    assert found.read_bytes() == IMAGE
    found.write_bytes(b"another")
    assert depot.evidence(DIGEST) is None
    found.unlink()
    found.symlink_to(path)
    assert depot.evidence(DIGEST) is None, "a link may lead anywhere"
    assert depot.evidence("../alive") is None


def test_a_worker_hears_whether_somebody_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "LOOK_SECONDS", 0.05)
    with sharing(folder) as depot:
        source = FromShared(address=depot.address)
        assert source.awaits("ab-01") is False
        depot.begin("ab-01")
        for _ in range(3):
            eventually(lambda: source.awaits("ab-01") is True, "the night gives a sign each time")
        depot.forget("ab-01")
        assert source.awaits("ab-01") is False
        depot.begin("ab-02")
    assert source.awaits("ab-02") is False, "the night has ended"
    shutil.rmtree(folder)
    assert source.awaits("ab-02") is None, "and nothing is known where the folder is gone"


def test_a_night_that_was_killed_gives_no_sign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "LOOK_SECONDS", 3600.0)
    with sharing(folder) as depot:
        depot.begin("ab-01")
        source = FromShared(address=depot.address)
        assert source.awaits("ab-01") is True
        assert source.awaits("ab-01") is None
        assert source.awaits("ab-01") is None


def test_nothing_is_left_and_what_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    with sharing(folder) as depot:
        offered(depot, tmp_path)
        shutil.rmtree(depot.folder / "images")
        with pytest.raises(HostError, match=r"the shared folder .*: No such file"):
            depot.offer("b" * 64, lambda: tmp_path / "web.iso")
        with pytest.raises(HostError, match="did not come into the shared folder"):
            FromShared(address=depot.address, mounted=tmp_path).evidence(DIGEST, tmp_path / "web.iso")
    assert [path.name for path in folder.iterdir()] == [".lock"]
    with pytest.raises(UsageError, match="it is no folder"):
        executor_at("dask://127.0.0.1:1", None, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--shared goes with an executor on other hosts"):
        executor_at("processes", None, folder)


@pytest.mark.slow
def test_a_night_on_two_workers_of_which_one_has_it_elsewhere(fleet: Fleet, night: FleetNight, folder: Path) -> None:
    fleet.scheduler()
    fleet.worker("one")
    (fleet.folder / "mnt").symlink_to(folder)
    fleet.worker("two", "--shared", str(fleet.folder / "mnt"))
    fleet.shared = folder
    attempts = night.run({"a": "pass", "b": "fail", "c": "pass", "d": "sleep 1"})
    assert outcome(attempts) == {"a": "PASS", "b": "FAIL FAIL", "c": "PASS", "d": "PASS"}
    by_name = {each.cell.name: each for each in attempts}
    run = Path(by_name["a"].run_folder)
    assert (run / "console.txt").read_text() == "[   1.000] pass\n"
    assert not list(folder.glob("*/")), "what a night put there goes with it"
    assert not (night.folder / "nightly" / "fleet").exists(), "nothing is handed out over HTTP"
