"""UEFI firmware for QEMU, chosen by the descriptors that come with it (docs/interop/firmware.json in QEMU).

Code and variables belong together: a wrong pair hangs without a word, so they are only ever taken as one
descriptor names them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from metallize.errors import HostError
from metallize.model.machine import Firmware, Machine

DESCRIPTOR_FOLDERS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))
"""In the order of precedence: a file hides one of the same name in a later folder."""

_PACKAGES = {"x86_64": "ovmf", "aarch64": "qemu-efi-aarch64"}
"""Debian's and Ubuntu's, by architecture."""
_NEVER_WANTED = {
    "amd-sev-es": "it is made for SEV-ES",
    "intel-tdx": "it is made for TDX",
}
_NO_SECURE_BOOT = {"secure-boot": "it knows no Secure Boot"}


class Keys(StrEnum):
    """What a machine's firmware knows of Secure Boot."""

    OFF = "off"
    ENROLLED = "enrolled"
    """The variables' template has keys, Microsoft's, and Secure Boot is on."""
    OWN = "own"
    """The template has none: they are yet to be written into a copy of it."""


_UNWANTED = {
    Keys.OFF: {"requires-smm": "it needs SMM", "enrolled-keys": "it comes with Secure Boot keys", **_NEVER_WANTED},
    Keys.ENROLLED: _NEVER_WANTED,
    Keys.OWN: {"enrolled-keys": "it comes with keys of others", **_NEVER_WANTED},
}
_WANTED = {
    Keys.OFF: {},
    Keys.ENROLLED: {**_NO_SECURE_BOOT, "enrolled-keys": "it comes without keys"},
    Keys.OWN: _NO_SECURE_BOOT,
}
"""Features, each with what is wrong where firmware has it, or lacks it."""
_CALLED = {
    Keys.OFF: "UEFI firmware",
    Keys.ENROLLED: "UEFI firmware with Secure Boot and its keys",
    Keys.OWN: "UEFI firmware with Secure Boot that has no keys yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwarePair:
    """A firmware's code, and the template of its variables, of which each run gets a copy."""

    code: Path
    code_format: str
    variables: Path
    variables_format: str
    description: str


def find_firmware(
    architecture: str, machine: str, *, keys: Keys = Keys.OFF, folders: Sequence[Path] = DESCRIPTOR_FOLDERS
) -> FirmwarePair:
    """The first UEFI firmware for an architecture and a machine type (`pc-q35-`), with or without Secure Boot.

    Raises HostError, with the reason why each descriptor was passed over.
    """
    skipped: list[str] = []
    for path in _descriptors(folders):
        try:
            chosen = _read(path, architecture, machine, keys)
        except (OSError, ValueError, LookupError, TypeError) as exc:
            chosen = f"it cannot be read: {exc}"
        if isinstance(chosen, FirmwarePair):
            return chosen
        skipped.append(f"{path}: {chosen}")
    looked = "; ".join(skipped) or f"no descriptor in {' or '.join(map(str, folders))}"
    raise HostError(
        f"no {_CALLED[keys]} for QEMU's {machine}* on {architecture} ({looked})",
        hint=f"install it: apt-get install {_PACKAGES.get(architecture, 'ovmf')}",
    )


def firmware_for(machine: Machine, *, own_keys: bool = False) -> FirmwarePair:
    """The UEFI firmware that a machine is started with. Raises HostError as `find_firmware` does."""
    keys = (Keys.OWN if own_keys else Keys.ENROLLED) if machine.secure_boot else Keys.OFF
    return find_firmware(machine.qemu.removeprefix("qemu-system-"), machine.firmware_machine, keys=keys)


def firmware_name(machine: Machine, *, own_keys: bool = False) -> str:
    """What a machine is started with, as a record names it."""
    if machine.firmware is not Firmware.UEFI:
        return str(machine.firmware)
    try:
        pair = firmware_for(machine, own_keys=own_keys)
    except HostError:
        return str(machine.firmware)
    return f"{pair.description} ({pair.code})"


def _descriptors(folders: Sequence[Path]) -> list[Path]:
    by_name: dict[str, Path] = {}
    for folder in reversed(folders):
        by_name.update({path.name: path for path in folder.glob("*.json")} if folder.is_dir() else {})
    return [by_name[name] for name in sorted(by_name) if by_name[name].stat().st_size > 0]


def _read(path: Path, architecture: str, machine: str, keys: Keys) -> FirmwarePair | str:
    descriptor = json.loads(path.read_text(encoding="utf-8"))
    if "uefi" not in descriptor["interface-types"]:
        return "it is no UEFI firmware"
    if descriptor["mapping"]["device"] != "flash":
        return "it is not mapped as flash"
    if not any(
        target["architecture"] == architecture and any(name.startswith(machine) for name in target["machines"])
        for target in descriptor["targets"]
    ):
        return f"it is not for {machine}* on {architecture}"
    if (objection := _objection(descriptor["features"], keys)) is not None:
        return objection
    mapping = descriptor["mapping"]
    code, variables = mapping["executable"], mapping["nvram-template"]
    pair = FirmwarePair(
        code=Path(code["filename"]),
        code_format=str(code["format"]),
        variables=Path(variables["filename"]),
        variables_format=str(variables["format"]),
        description=str(descriptor["description"]),
    )
    missing = [str(file) for file in (pair.code, pair.variables) if not file.is_file()]
    return f"{' and '.join(missing)} is missing" if missing else pair


def _objection(features: Sequence[str], keys: Keys) -> str | None:
    unwanted = _UNWANTED[keys]
    lacking = (why for feature, why in _WANTED[keys].items() if feature not in features)
    return next((unwanted[feature] for feature in features if feature in unwanted), None) or next(lacking, None)
