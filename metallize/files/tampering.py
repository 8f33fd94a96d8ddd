"""Which bytes of an image make it one that somebody has tampered with: so few that only a hash or a signature tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pefile

from metallize.errors import HostError, UsageError
from metallize.files.parts import Part
from metallize.files.uki import CERTIFICATES
from metallize.model.outcome import SUFFIXES, Tampered

SQUASHFS = b"hsqs"
MADE_AT = 8
"""In a squashfs superblock: when it was made, which no mount looks at (Documentation/filesystems/squashfs.rst)."""
_VERITY = b"verity\0\0"
_FIRST_HASH = 4096
"""In a tree of 4096-byte blocks: the top, right after the superblock (veritysetup's on-disk format)."""
_HARMLESS = ".osrel"
"""A section that systemd-boot shows a title from, and no code is in (UAPI.5, Unified Kernel Image)."""
_COMMAND_LINE = ".cmdline"
_BLANK, _OTHER_BLANK = b" ", b"\t"
"""Both are white space to systemd-stub, which makes the one the other (mangle_stub_cmdline), to Linux and to init."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Other bytes at a place of the image."""

    offset: int
    content: bytes


def patch_of(kind: Tampered, parts: Sequence[Part], image: Path) -> Patch:
    """What to change in a raw image, whose own file stays as it is.

    Raises UsageError where the image has no such part, or nothing would tell; HostError where it cannot be read.
    """
    part = next((each for each in parts if each.suffix.endswith(SUFFIXES[kind])), None)
    if part is None:
        raise UsageError(
            f"boot.tamper: {image.name} has no part {SUFFIXES[kind]}, so there is no {kind} to change",
            hint="generator `ab` makes an image that has",
        )
    try:
        with image.open("rb") as file:
            file.seek(part.offset)
            content = file.read(part.size_bytes if SUFFIXES[kind] == ".efi" else _FIRST_HASH + 1)
    except OSError as exc:
        raise HostError(f"{image}: {exc.strerror}") from exc
    try:
        place, length = _place(kind, content)
    except (ValueError, pefile.PEFormatError) as exc:
        raise UsageError(f"boot.tamper: {kind}: {part.suffix} of {image.name}: {exc}") from exc
    was = content[place : place + length]
    return Patch(offset=part.offset + place, content=_other(kind, was))


def _other(kind: Tampered, was: bytes) -> bytes:
    """What is there in its place."""
    match kind:
        case Tampered.UNSIGNED_UKI:
            return bytes(len(was))
        case Tampered.CMDLINE:
            return _OTHER_BLANK
        case Tampered.ROOT | Tampered.VERITY | Tampered.UKI:
            return bytes(byte ^ 0xFF for byte in was)
        case Tampered.TPM:
            raise AssertionError("no byte of the image is another one")


def _place(kind: Tampered, content: bytes) -> tuple[int, int]:
    """Where in the part, and how many bytes; raises ValueError or PEFormatError where it is none of its kind."""
    match kind:
        case Tampered.ROOT:
            return _after(content, SQUASHFS, MADE_AT, "no squashfs")
        case Tampered.VERITY:
            return _after(content, _VERITY, _FIRST_HASH, "no tree of dm-verity's")
        case Tampered.UKI | Tampered.UNSIGNED_UKI | Tampered.CMDLINE:
            return _in_uki(kind, content)
        case Tampered.TPM:
            raise AssertionError("no byte of the image is another one")


def _after(content: bytes, magic: bytes, place: int, otherwise: str) -> tuple[int, int]:
    if not content.startswith(magic) or len(content) <= place:
        raise ValueError(f"it is {otherwise}")
    return place, 1


def _in_uki(kind: Tampered, content: bytes) -> tuple[int, int]:
    with pefile.PE(data=content, fast_load=True) as found:
        directory = found.OPTIONAL_HEADER.DATA_DIRECTORY[CERTIFICATES]
        if not directory.Size:
            raise ValueError("it has no signature, so nothing tells what is changed in it: see output.secure_boot")
        if kind is Tampered.UNSIGNED_UKI:
            return directory.get_file_offset(), directory.sizeof()
        name = _COMMAND_LINE if kind is Tampered.CMDLINE else _HARMLESS
        for section in found.sections:
            if section.Name.rstrip(b"\0").decode("latin-1") == name and section.SizeOfRawData:
                start, size = section.PointerToRawData, min(section.SizeOfRawData, section.Misc_VirtualSize)
                return (start + _blank_in(content[start : start + size]) if kind is Tampered.CMDLINE else start), 1
    raise ValueError(f"it has no section {name}: it is no unified kernel image")


def _blank_in(line: bytes) -> int:
    """Where the first blank between two words is."""
    text = line.rstrip(b"\0\n ")
    at = text.find(_BLANK, len(text) - len(text.lstrip(_BLANK)))
    if at < 0:
        raise ValueError(f"no blank is between words of its command line {text.decode('ascii', 'replace')!r}")
    return at
