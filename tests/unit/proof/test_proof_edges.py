"""What adds up to a proof and what does not, what is said of it in which words, and what its record holds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metallize.build.generator import sha256_of
from metallize.errors import HostError
from metallize.model.boot import Boot
from metallize.proof import NOT_VERIFIED, Proof, nothing, record_of, runs_in
from metallize.qemu.firmware import FirmwarePair
from tests.unit.proof.proofs import OVMF, SEABIOS, booted, on, proven, report_of

OTHER = "f" * 64
"""The digest of bytes that are not the image's."""
REBOOTED = on("seabios", boot=Boot(reboot=True))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "web.iso"
    path.write_bytes(b"image")
    return path


def objections(image: Path, *required: Any) -> str:
    return "; ".join(Proof.load(image).objections(image, sha256_of(image), required or None))


def test_of_other_bytes_nothing_is_known(image: Path) -> None:
    known = proven(image, SEABIOS)
    assert known.of(sha256_of(image)) is known
    assert known.of(OTHER) == nothing(NOT_VERIFIED)
    other = known.with_boots(OTHER, [OVMF], [report_of(OVMF)])
    assert (other.sha256, list(other.boots)) == (OTHER, ["ovmf"])


def test_every_boot_has_its_report() -> None:
    with pytest.raises(ValueError, match="shorter"):
        nothing().with_boots(OTHER, [SEABIOS, OVMF], [report_of(SEABIOS)])


def test_what_was_read_is_not_lost_where_the_record_is_gone_meanwhile(image: Path) -> None:
    proven(image, SEABIOS, required=(SEABIOS, OVMF))
    known = Proof.load(image)
    record_of(image).unlink()
    booted(image, OVMF).asking((SEABIOS, OVMF), plan="", profile="").save(image)
    known.save(image)
    assert objections(image) == ""
    assert known.joined(Proof.load(image)).boots.keys() == {"seabios", "ovmf"}
    assert nothing().joined(known) is known
    assert known.joined(nothing()) is known


def test_what_passed_something_else_is_not_whole(image: Path) -> None:
    proof = proven(image, SEABIOS, required=(REBOOTED,))
    assert (proof.lacking, proof.whole, proof.verdict) == (("seabios",), False, "incomplete")
    changed = f"what the profile asks of {image} on seabios has changed since it was verified: "
    assert objections(image) == f"{changed}it was asked for something else there"
    assert objections(image, REBOOTED) == f"{changed}boot.reboot"


def test_a_machine_that_is_not_required_takes_nothing_away(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that it failed, nor that another judged it."""
    proven(image, SEABIOS)
    monkeypatch.setattr("metallize.proof.judge", lambda: "another")
    proof = booted(image, OVMF, passed=False).asking((SEABIOS,), plan="", profile="")
    assert (proof.lacking, proof.whole, proof.verdict) == ((), True, "passed")


def test_a_proof_of_no_bytes_is_none(image: Path) -> None:
    proven(image, SEABIOS)
    content = json.loads(record_of(image).read_text())
    record_of(image).write_text(json.dumps({**content, "sha256": ""}))
    proof = Proof.load(image)
    assert (proof.lacking, proof.whole) == ((), False)


def test_of_what_failed_only_that_is_said(image: Path) -> None:
    booted(image, SEABIOS, passed=False).asking((SEABIOS,), plan="", profile="").save(image)
    assert objections(image, REBOOTED) == f"{image} failed its verification on seabios"


def test_where_no_machine_of_those_that_are_wanted_was_booted(image: Path) -> None:
    proven(image, SEABIOS)
    assert objections(image, OVMF) == f"{image} is not yet verified on ovmf"


def test_one_machine_that_was_judged_by_other_rules_is_enough(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(image, SEABIOS, required=(SEABIOS, OVMF))
    monkeypatch.setattr("metallize.proof.judge", lambda: "another")
    proven(image, OVMF, required=(SEABIOS, OVMF))
    assert "was judged by other rules than those of this metallize" in objections(image)
    assert sorted(Proof.load(image).lacking) == ["ovmf", "seabios"], "whichever of them was judged anew"


def test_the_record_is_a_text_for_people_too(image: Path) -> None:
    proof = proven(image, SEABIOS)
    text = record_of(image).read_text()
    assert text.startswith('{\n "machines": [\n  {\n')
    assert text.endswith("}\n")
    known = Proof.load(image).boots["seabios"]
    assert "proof" not in known.report
    assert (known.asked.id, known.firmware, known.passed) == (proof.boots["seabios"].asked.id, "bios", True)


def test_what_is_no_number_is_not_written_and_what_was_stays(image: Path) -> None:
    proven(image, SEABIOS)
    before = record_of(image).read_bytes()
    endless = replace(report_of(OVMF), seconds=math.inf)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Proof.load(image).with_boots(sha256_of(image), [OVMF], [endless]).save(image)
    assert record_of(image).read_bytes() == before


def test_all_of_it_is_on_the_disk_before_it_takes_the_place(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, sizes = os.fsync, []

    def synced(handle: int) -> None:
        sizes.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    proven(image, SEABIOS)
    assert sizes == [record_of(image).stat().st_size]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda it: it.pop("machines"), "it lacks 'machines'"),
        (lambda it: it.update(schema=3), "an older or a newer metallize wrote it, and it does not say who judged"),
        (lambda it: it.update(sha256=None), "text is wanted, not NoneType"),
        (lambda it: it["machines"][0].update(verdict="x" * 300), f"'{'x' * 199}"),
    ],
)
def test_why_a_record_cannot_be_read(image: Path, harm: Callable[[dict[str, Any]], object], told: str) -> None:
    proven(image, SEABIOS)
    path = record_of(image)
    content = json.loads(path.read_text())
    harm(content)
    path.write_text(json.dumps(content))
    assert objections(image) == f"{image} has not been verified: {path} cannot be read ({told})"


def test_why_a_record_cannot_be_opened(image: Path) -> None:
    path = record_of(image)
    path.symlink_to(path)
    why = "Too many levels of symbolic links"
    assert objections(image) == f"{image} has not been verified: {path} cannot be read ({why})"


def test_the_runs_that_records_name_are_known_whatever_they_prove(image: Path, tmp_path: Path) -> None:
    """Of a record that says nothing else of use too: what it names is not to be tidied away."""
    contents: tuple[object, ...] = (
        "no record",
        {},
        {"machines": {"run_folder": "/runs/of-no-list"}},
        {"machines": ["/runs/text", {"run_folder": 1}, {"run_folder": ""}, {}, {"run_folder": "/runs/a/../b"}]},
        {"machines": [{"run_folder": "/runs/c"}, {"run_folder": str(tmp_path / "link")}]},
    )
    (tmp_path / "link").symlink_to(tmp_path / "there")
    records = [tmp_path / "gone", *(tmp_path / f"{number}.json" for number in range(len(contents)))]
    for record, content in zip(records[1:], contents, strict=True):
        record.write_text(json.dumps(content))
    (tmp_path / "torn").write_text("{")
    found = runs_in([tmp_path / "torn", *records, record_of(image)])
    assert found == {Path("/runs/b"), Path("/runs/c"), tmp_path / "there"}
    proof = proven(image, SEABIOS)
    assert runs_in([record_of(image)]) == {Path(proof.boots["seabios"].report["run_folder"]).resolve()}


def test_the_firmware_is_told_as_far_as_it_is_known(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = Path("/firmware/code.fd")
    pair = FirmwarePair(code=code, code_format="raw", variables=code, variables_format="raw", description="EDK II")
    monkeypatch.setattr("metallize.qemu.firmware.find_firmware", lambda *_, **_more: pair)
    assert booted(image, OVMF).boots["ovmf"].firmware == "EDK II (/firmware/code.fd)"
    assert booted(image, SEABIOS).boots["seabios"].firmware == "bios"

    def none(*_: object, **_more: object) -> FirmwarePair:
        raise HostError("no UEFI firmware")

    monkeypatch.setattr("metallize.qemu.firmware.find_firmware", none)
    assert booted(image, OVMF).boots["ovmf"].firmware == "uefi"
