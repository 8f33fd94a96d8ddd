"""The firmware pair is the one that a descriptor names, or the error says why none was taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.qemu.firmware import Keys, find_firmware


def descriptor(
    folder: Path, name: str, *, features: list[str], machine: str = "pc-q35-*", missing: bool = False
) -> None:
    folder.mkdir(exist_ok=True)
    code, variables = folder / f"{name}.CODE", folder / f"{name}.VARS"
    if not missing:
        code.write_bytes(b"code")
        variables.write_bytes(b"vars")
    text = {
        "description": name,
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(variables), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": [machine]}],
        "features": features,
        "tags": [],
    }
    (folder / f"{name}.json").write_text(json.dumps(text))


def test_secure_boot_and_other_machines_are_passed_over(tmp_path: Path) -> None:
    descriptor(tmp_path, "40-secure", features=["requires-smm", "secure-boot"])
    descriptor(tmp_path, "45-virt", features=[], machine="virt-*")
    descriptor(tmp_path, "50-gone", features=[], missing=True)
    (tmp_path / "55-broken.json").write_text("{")
    descriptor(tmp_path, "60-plain", features=["acpi-s3"])
    pair = find_firmware("x86_64", "pc-q35-", folders=[tmp_path])
    assert (pair.description, pair.code.name, pair.variables.name) == ("60-plain", "60-plain.CODE", "60-plain.VARS")


def test_an_earlier_folder_hides_a_file_and_an_empty_one_masks_it(tmp_path: Path) -> None:
    local, shipped = tmp_path / "etc", tmp_path / "usr"
    descriptor(shipped, "10-a", features=[])
    descriptor(shipped, "20-b", features=[])
    local.mkdir()
    (local / "10-a.json").write_text("")
    assert find_firmware("x86_64", "pc-q35-", folders=[local, shipped]).description == "20-b"


def test_the_error_names_each_descriptor_and_the_next_step(tmp_path: Path) -> None:
    descriptor(tmp_path, "40-secure", features=["enrolled-keys"])
    with pytest.raises(HostError, match=r"40-secure\.json: it comes with Secure Boot keys") as caught:
        find_firmware("x86_64", "pc-q35-", folders=[tmp_path])
    assert caught.value.hint == "install it: apt-get install ovmf"
    with pytest.raises(HostError, match=r"no UEFI firmware for QEMU.s virt") as caught:
        find_firmware("aarch64", "virt-", folders=[tmp_path])
    assert caught.value.hint == "install it: apt-get install qemu-efi-aarch64"
    with pytest.raises(HostError, match="no descriptor in"):
        find_firmware("x86_64", "pc-q35-", folders=[tmp_path / "none"])


def test_secure_boot_wants_keys_and_nothing_made_for_confidential_guests(tmp_path: Path) -> None:
    descriptor(tmp_path, "20-plain", features=["acpi-s3"])
    descriptor(tmp_path, "30-no-keys", features=["requires-smm", "secure-boot"])
    descriptor(tmp_path, "35-tdx", features=["secure-boot", "enrolled-keys", "intel-tdx"])
    descriptor(tmp_path, "40-secure", features=["enrolled-keys", "requires-smm", "secure-boot"])
    assert find_firmware("x86_64", "pc-q35-", keys=Keys.ENROLLED, folders=[tmp_path]).description == "40-secure"
    (tmp_path / "40-secure.json").unlink()
    with pytest.raises(HostError) as caught:
        find_firmware("x86_64", "pc-q35-", keys=Keys.ENROLLED, folders=[tmp_path])
    assert "Secure Boot and its keys" in caught.value.message
    assert "20-plain.json: it knows no Secure Boot" in caught.value.message
    assert "30-no-keys.json: it comes without keys" in caught.value.message
    assert "35-tdx.json: it is made for TDX" in caught.value.message


def test_own_keys_want_secure_boot_and_nobody_elses(tmp_path: Path) -> None:
    descriptor(tmp_path, "20-plain", features=["acpi-s3"])
    descriptor(tmp_path, "40-secure", features=["enrolled-keys", "requires-smm", "secure-boot"])
    with pytest.raises(HostError) as caught:
        find_firmware("x86_64", "pc-q35-", keys=Keys.OWN, folders=[tmp_path])
    assert "Secure Boot that has no keys yet" in caught.value.message
    assert "20-plain.json: it knows no Secure Boot" in caught.value.message
    assert "40-secure.json: it comes with keys of others" in caught.value.message
    descriptor(tmp_path, "50-bare", features=["requires-smm", "secure-boot"])
    assert find_firmware("x86_64", "pc-q35-", keys=Keys.OWN, folders=[tmp_path]).description == "50-bare"
