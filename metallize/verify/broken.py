"""Releases that a machine must come back from, or must not take: made of the new image's own parts, with no privilege.

Verity trees stay as they are. What is broken is the unified kernel image, or the kernel's command line in it and in
what GRUB reads, which reaches every part of a boot; or one block of the root, which its tree tells.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from metallize.errors import HostError, UsageError
from metallize.files.parts import Part
from metallize.files.tampering import MADE_AT, SQUASHFS
from metallize.files.uki import authenticode, content_of, remove_signature, replace_section, sections
from metallize.model.update import Broken
from metallize.qemu.slots.gpt import read_table

KERNEL, GRUB, ROOT = ".efi", ".grub", ".root"
"""How the names of the parts end that are changed."""
_MOST_CHARACTERS = 2047
"""Of a command line of Linux on x86 (COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h)."""
_DAMAGED_BYTES = 4096
_HINT = "it is the raw image of the release before, with the same output.name"
_UNIT = "metallize-broken.service"
_SERVICE = """\
[Unit]
Description=A service that fails
Before=systemd-boot-check-no-failures.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'f=/usr/lib/os-release; sed s/^IMAGE_VERSION=.*/IMAGE_VERSION=$0/ $f >/run/$0; \
mount --bind /run/$0 $f; exit 1' {version}
"""
"""It gives the system the version by which it was installed, and fails."""


def version_before(image: Path, name: str) -> str:
    """Which version of a release the slots of a raw image have, by the names of its partitions. Raises UsageError."""
    with image.open("rb") as file:
        number = file.fileno()
        try:
            rows = read_table(lambda at, size: os.pread(number, size, at), os.fstat(number).st_size).rows
        except ValueError as exc:
            raise UsageError(f"boot.update.from: {image} has no slots: {exc}", hint=_HINT) from exc
    found = {row.label.removeprefix(f"{name}_") for row in rows if row.label.startswith(f"{name}_")}
    if len(found) != 1:
        words = f"slots of the versions {', '.join(sorted(found))}" if found else f"no slot of {name}"
        raise UsageError(f"boot.update.from: {image} has {words}", hint=_HINT)
    return found.pop()


def broken_version(before: str, number: int, broken: Broken) -> str:
    """What the release is called: after the version before, and before all that follow it; a later one is higher.

    A letter comes before every digit, and a hyphen before a dot. `~`, which would say all this of the new version, is
    no part of a version for systemd-sysupdate (version_is_valid, src/sysupdate/sysupdate-util.c), which passes over it.
    """
    return f"{before}-a{number}.{broken}"


def older_version(before: str) -> str:
    """Of a release that comes before the new one, and could be installed."""
    return f"{before}-a0"


def tampered_version(before: str) -> str:
    """Of a release that is newer than the one that runs, and must not be installed all the same."""
    return f"{before}-a0.index"


def words_of(broken: Broken, version: str) -> tuple[str, ...]:
    """What is added to the kernel's command line; pure."""
    match broken:
        case Broken.KERNEL | Broken.ROOT:
            return ()
        case Broken.INIT:
            return ("init=/bin/false",)
        case Broken.SERVICE:
            # systemd-debug-generator(8), systemd.extra-unit.*; systemd(1), systemd.set_credential_binary=
            unit = base64.b64encode(_SERVICE.format(version=version).encode("ascii")).decode("ascii")
            return (
                f"systemd.set_credential_binary=systemd.extra-unit.{_UNIT}:{unit}",
                f"systemd.wants={_UNIT}",
            )


def require_parts(parts: Mapping[str, Part], image: Path, broken: Collection[Broken]) -> None:
    """Raises UsageError where an image lacks what is broken in it."""
    for end in (KERNEL, GRUB, *((ROOT,) if Broken.ROOT in broken else ())):
        if not any(name.endswith(end) for name in parts):
            raise UsageError(
                f"boot.update.broken: {image.name} has no part {end} that could be broken",
                hint="an image of generator `ab` has: leave `broken` out for others",
            )


def break_release(
    image: Path, parts: Mapping[str, Part], broken: Broken, version: str, folder: Path
) -> dict[str, Path]:
    """The files that differ from the image's own parts, in the folder, by the suffix of the part.

    Raises HostError where the parts are not what they should be.
    """
    words = words_of(broken, version)
    changed: dict[str, Callable[[Path], None]] = {
        KERNEL: lambda path: _break_kernel(path, broken, version, words),
        GRUB: lambda path: _add_for_grub(path, words),
        **({ROOT: _break_root} if broken is Broken.ROOT else {}),
    }
    made = {}
    for part in parts.values():
        end = next((end for end in changed if part.suffix.endswith(end)), None)
        if end is None:
            continue
        made[part.suffix] = path = folder / f"{broken}{end}"
        with path.open("wb") as file:
            part.copy(image, file)
        try:
            changed[end](path)
        except ValueError as exc:
            raise HostError(f"{image}: its part {part.suffix}: {exc}", hint="build it again") from exc
    return made


def _break_kernel(path: Path, broken: Broken, version: str, words: tuple[str, ...]) -> None:
    number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        remove_signature(number)
        line = content_of(number, ".cmdline").rstrip(b"\0").decode("ascii")
        added = " ".join([line.strip(), *words])
        if len(added) > _MOST_CHARACTERS:
            raise ValueError(f"its command line would have {len(added)} characters, and Linux takes {_MOST_CHARACTERS}")
        replace_section(number, ".cmdline", added.encode("ascii"))
        released = content_of(number, ".osrel").rstrip(b"\0").decode("utf-8")
        named = re.sub(r"(?m)^IMAGE_VERSION=.*$", f'IMAGE_VERSION="{version}"', released)
        replace_section(number, ".osrel", named.encode("utf-8"))
        if broken is Broken.KERNEL:  # no init comes out of it, and no root can be mounted without: Linux panics
            initrd = sections(number).get(".initrd")
            if initrd is None:
                raise ValueError("it has no section .initrd")
            os.pwrite(number, bytes(min(_DAMAGED_BYTES, initrd.size)), initrd.offset)
    finally:
        os.close(number)


def kernel_digest(changed: Mapping[str, Path]) -> str:
    """By which firmware that asks for signatures is told to start a broken release all the same."""
    [path] = (path for suffix, path in changed.items() if suffix.endswith(KERNEL))
    with path.open("rb") as file:
        return authenticode(file.fileno())


def _break_root(path: Path) -> None:
    """Change a byte of the block that every mount begins with; without dm-verity nobody would see it."""
    with path.open("r+b") as file:
        if file.read(len(SQUASHFS)) != SQUASHFS:
            raise ValueError("it is no squashfs")
        file.seek(MADE_AT)
        [byte] = file.read(1)
        file.seek(MADE_AT)
        file.write(bytes([byte ^ 0xFF]))


def _add_for_grub(path: Path, words: tuple[str, ...]) -> None:
    """The same words for the kernel that GRUB starts; none of them needs quoting."""
    first, end, rest = path.read_text(encoding="ascii").partition("\n")
    if not first.startswith("linux "):
        raise ValueError(f"it begins with {first[:40]!r}, and not with GRUB's command linux")
    path.write_text(" ".join([first, *words]) + end + rest, encoding="ascii")
