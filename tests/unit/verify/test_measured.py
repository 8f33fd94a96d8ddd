"""PCR 11: what is asked of which machine, and what the guest says of a value."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from metallize.catalog import Catalog
from metallize.errors import HostError
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.kind import Observation
from metallize.verify.looks import measured
from metallize.verify.requests import with_promises

ZEROS, ONE, TWO, THREE, OTHER = (digit * 64 for digit in "01234")
VALUES: list[dict[str, Any]] = [
    {"phases": [], "value": ONE},
    {"phases": ["sysinit"], "value": TWO},
    {"phases": ["sysinit", "ready"], "value": THREE},
]
MANIFEST = {"pcr11": {"bank": "sha256", "values": VALUES}}


def promised(machine: str, boot: dict[str, Any], manifest: dict[str, Any], **overrides: Any) -> list[str]:
    catalog = Catalog()
    asked = Boot.model_validate({"ssh": {"user": "admin", "password": "admin"}, **boot})
    hardware = catalog.machines[machine]
    found = with_promises((), catalog, hardware, asked, MachineOverrides(**overrides), manifest)  # type: ignore[arg-type]  # a Machine
    return [each.title for each in found if each.title == measured.TITLE]


def test_it_is_asked_where_there_is_a_tpm_that_a_kernel_image_is_measured_into() -> None:
    assert promised("ovmf", {"tpm": True}, MANIFEST) == [measured.TITLE]
    assert promised("ovmf", {}, MANIFEST, tpm=True) == [measured.TITLE]
    assert promised("ovmf", {"tpm": True}, {}) == []
    assert promised("ovmf", {}, MANIFEST) == []
    assert promised("ovmf", {"tpm": True}, MANIFEST, tpm=False) == []
    assert promised("seabios", {"tpm": True}, MANIFEST) == [], "GRUB measures nothing into it"
    assert promised("ovmf", {"tpm": True, "ssh": None}, MANIFEST) == [], "nobody is logged in"


def answer(folder: Path, value: str | None) -> Observation:
    """What the guest's shell says where the register has this value; None: there is no such file."""
    file = folder / "11"
    if value is not None:
        file.write_text(value + "\n")
    script = measured.probe(measured.points_of(MANIFEST)).replace("/sys/class/tpm/tpm0/pcr-sha256/11", str(file))
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    return Observation(status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=0.1)


@pytest.mark.parametrize(
    ("value", "holds", "words"),
    [
        (THREE, True, "of the kernel image, sysinit, ready"),
        (TWO, False, "of the kernel image, sysinit; not measured: ready"),
        (ONE, False, "of the kernel image; not measured: sysinit, ready"),
        (ZEROS, False, "nothing was measured"),
        (OTHER, False, "which this image gives at no point: another kernel image was started"),
        (None, False, ""),
    ],
)
def test_a_value_is_told_by_what_it_is_of(value: str | None, holds: bool, words: str, tmp_path: Path) -> None:
    kinds = Catalog().kinds
    [asked] = measured.measured_promises(MANIFEST, kinds)
    seen = answer(tmp_path, value)
    assert words in seen.stdout
    claims = list(kinds["command"].judge(asked.resource, asked.options, seen))
    assert all(claim.holds for claim in claims) is holds
    if value not in (THREE, None):
        [wrong] = [claim for claim in claims if not claim.holds]
        assert words in wrong.actual
        assert THREE in wrong.expected


def test_the_kernel_writes_it_in_capitals(tmp_path: Path) -> None:
    digest = "ab" * 32
    manifest = {"pcr11": {"bank": "sha256", "values": [{"phases": [], "value": digest}]}}
    script = measured.probe(measured.points_of(manifest)).replace("/sys/class/tpm/tpm0/pcr-sha256", str(tmp_path))
    (tmp_path / "11").write_text(digest.upper() + "\n")
    assert subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.startswith(digest)


@pytest.mark.parametrize(
    "told",
    [
        {"bank": "sha1", "values": VALUES},
        {"bank": "sha256", "values": []},
        {"bank": "sha256", "values": [{"phases": ["$(reboot)"], "value": ONE}]},
        {"bank": "sha256", "values": [{"phases": [], "value": "x"}]},
        {"bank": "sha256", "values": [{"phases": []}]},
        {"values": VALUES},
        [],
    ],
)
def test_a_damaged_prediction_is_told(told: object) -> None:
    with pytest.raises(HostError, match="what PCR 11 will be"):
        measured.points_of({"pcr11": told})
