"""The keys of a firmware that was in setup mode: what is asked of a guest, and what its variables say."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from metallize.catalog import Catalog
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.kind import Observation
from metallize.verify.looks import enrolled
from metallize.verify.requests import with_promises

MINE, YOURS = b"my certificate", b"your certificate"
MANIFEST = {"secure_boot": {"certificate_sha256": hashlib.sha256(MINE).hexdigest(), "enrolls": True}}


def test_it_is_asked_where_the_firmware_begins_without_keys() -> None:
    catalog, boot = Catalog(), Boot.model_validate({"ssh": {"user": "admin", "password": "admin"}})

    def titles(manifest: dict[str, Any], **overrides: Any) -> list[str]:
        machine = catalog.machines["ovmf-secureboot"]
        found = with_promises((), catalog, machine, boot, MachineOverrides(**overrides), manifest)  # type: ignore[arg-type]  # a Machine
        return [each.title for each in found]

    assert enrolled.TITLE in titles(MANIFEST, setup_mode=True)
    assert "command Secure Boot is enforced" in titles(MANIFEST, setup_mode=True)
    assert enrolled.TITLE not in titles(MANIFEST)
    assert enrolled.TITLE not in titles({}, setup_mode=True), "Secure Boot is asked for all the same"


def holds(folder: Path, **content: bytes) -> bool:
    """Whether a guest with these variables does, by the certificates in them."""
    for name, certificates in content.items():
        head = b"\x27\0\0\0" + bytes(44)
        (folder / f"{name}-{enrolled.VARIABLES[name]}").write_bytes(head + certificates)
    script = enrolled.probe().replace("/sys/firmware/efi/efivars", str(folder))
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    kinds = Catalog().kinds
    [asked] = enrolled.enrolled_promises(MANIFEST, kinds)
    seen = Observation(status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=0.1)
    return all(claim.holds for claim in kinds["command"].judge(asked.resource, asked.options, seen))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"PK": MINE, "KEK": MINE, "db": MINE}, True),
        ({"PK": MINE, "KEK": MINE, "db": YOURS}, False),
        ({"PK": YOURS, "KEK": MINE, "db": MINE}, False),
        ({"PK": MINE, "KEK": MINE, "db": MINE + bytes(44) + YOURS}, False),
        ({"PK": MINE, "KEK": MINE}, False),
    ],
)
def test_each_variable_holds_the_one_certificate(content: dict[str, bytes], expected: bool, tmp_path: Path) -> None:
    assert holds(tmp_path, **content) is expected
