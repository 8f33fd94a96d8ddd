"""The unified kernel image: systemd's stub with kernel, initrd and command line in one file that UEFI starts.

Under a BIOS GRUB starts the same file's kernel, by the sectors at which it stands (UAPI.5, Unified Kernel Image).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from metallize_os import job

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
SECTOR = 512
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
"""Where the data directories begin in an optional header, by its magic: PE32, PE32+."""
_CERTIFICATES = 4
"""Of the directories, the one that tells of the certificate table."""

_CHECKSUM = 24 + 64
"""Where the checksum of a PE file stands, behind its signature `PE`."""


@dataclass(frozen=True, slots=True)
class Section:
    """Where a part of the file stands, in bytes."""

    offset: int
    size: int
    memory: int = 0
    """Its size once it is loaded, where the file has less of it: the rest is zeros then."""

    def loaded(self, image: bytes) -> bytes:
        """Its content in memory."""
        return image[self.offset : self.offset + self.size].ljust(self.memory, b"\0")

    @property
    def sectors(self) -> str:
        """As GRUB's block lists have it (GRUB manual, Block list syntax): first sector and how many."""
        if self.offset % SECTOR:
            raise ValueError(f"a section at {self.offset} begins within a sector")
        return f"{self.offset // SECTOR}+{-(-self.size // SECTOR)}"


def make_uki(target: Path, *, kernel: Path, initrd: Path, version: str, params: str, os_release: str) -> None:
    """Put the parts together by ukify(1); `version` is the kernel's."""
    released, line = target.with_suffix(".osrel"), target.with_suffix(".cmdline")
    released.write_text(os_release)
    line.write_text(params)
    job.tool(
        "ukify", "build", "--stub", STUB,
        "--linux", kernel, "--initrd", initrd, "--uname", version,
        "--cmdline", f"@{line}", "--os-release", f"@{released}",
        "--output", target,
    )  # fmt: skip
    released.unlink()
    line.unlink()


def sections(image: bytes) -> dict[str, Section]:
    """The sections of a PE file by their names (PE Format, Section Table). Raises ValueError for what is none."""
    try:
        (header,) = struct.unpack_from("<I", image, 0x3C)
        signature, _, count, _, _, _, optional, _ = struct.unpack_from("<4sHHIIIHH", image, header)
        if signature != b"PE\0\0":
            raise ValueError("the file has no PE header")
        found = {}
        for number in range(count):
            at = header + 24 + optional + 40 * number
            name, virtual, _, raw, offset = struct.unpack_from("<8sIIII", image, at)
            more = virtual if virtual > raw else 0
            found[name.rstrip(b"\0").decode("ascii")] = Section(offset, min(virtual, raw) or raw, more)
    except (struct.error, UnicodeDecodeError) as exc:
        raise ValueError(f"the file is cut short, or no PE file: {exc}") from exc
    return found


def signature(image: bytes) -> Section | None:
    """The certificate table of a PE file (PE Format, The Attribute Certificate Table); None of one without.

    Raises ValueError for a file that is none.
    """
    try:
        (header,) = struct.unpack_from("<I", image, 0x3C)
        (kind,) = struct.unpack_from("<H", image, header + 24)
        if image[header : header + 4] != b"PE\0\0" or kind not in _DIRECTORIES:
            raise ValueError("the file has no PE header")
        offset, size = struct.unpack_from("<II", image, header + 24 + _DIRECTORIES[kind] + 8 * _CERTIFICATES)
    except struct.error as exc:
        raise ValueError(f"the file is cut short, or no PE file: {exc}") from exc
    return Section(offset=offset, size=size) if size else None


def checksummed(image: bytes) -> bytes:
    """A PE file with the checksum of what is in it (PE Format, CheckSum; as ImageHlp's CheckSumMappedFile has it)."""
    (header,) = struct.unpack_from("<I", image, 0x3C)
    changed = bytearray(image)
    struct.pack_into("<I", changed, header + _CHECKSUM, 0)
    total = sum(memoryview(bytes(changed).ljust(-(-len(changed) // 2) * 2, b"\0")).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("<I", changed, header + _CHECKSUM, total + len(changed))
    return bytes(changed)
