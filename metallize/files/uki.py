"""A unified kernel image as a file that can be changed: its sections, other content for one of them, its signature.

It is a PE file (PE Format, Section Table; UAPI.5, Unified Kernel Image). Nothing moves: GRUB finds kernel and initrd by
the sectors at which they stand.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pefile

_HEAD_BYTES = 1 << 16
"""As much of the file as may hold its headers."""
_ROW = struct.Struct("<8sIIII")
"""Of the section table: name, size and place in memory, size and place in the file."""
_ROW_BYTES = 40
_ALIGNED = 512
_PIECE_BYTES = 1 << 20
_CHECKSUM = 64
"""Where its checksum stands in its optional header."""
CERTIFICATES = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_SECURITY"]
"""Of its directories, the one that tells of signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of it, in bytes."""

    size: int
    offset: int
    """In the file."""
    room: int
    """As much as it may have in memory, before the next one begins."""
    row: int
    """Where the file tells of it."""
    memory: int


def sections(number: int) -> dict[str, Section]:
    """The sections of an open file by their names. Raises ValueError for what is no such file."""
    head = os.pread(number, _HEAD_BYTES, 0)
    try:
        (header,) = struct.unpack_from("<I", head, 0x3C)
        signature, _, count, _, _, _, optional, _ = struct.unpack_from("<4sHHIIIHH", head, header)
        if signature != b"PE\0\0":
            raise ValueError("it has no PE header")
        rows = [header + 24 + optional + _ROW_BYTES * each for each in range(count)]
        told = [(row, *_ROW.unpack_from(head, row)) for row in rows]
        starts = sorted(memory for _, _, _, memory, _, _ in told)
        found = {}
        for row, name, size, memory, raw, offset in told:
            after = next((start for start in starts if start > memory), memory + max(size, raw))
            section = Section(size=min(size, raw) or raw, offset=offset, room=after - memory, row=row, memory=memory)
            found[name.rstrip(b"\0").decode("ascii")] = section
    except (struct.error, UnicodeDecodeError) as exc:
        raise ValueError(f"it is cut short, or no PE file: {exc}") from exc
    return found


def content_of(number: int, name: str) -> bytes:
    """What is in a section. Raises ValueError where there is none of that name."""
    section = _named(number, name)
    return os.pread(number, section.size, section.offset)


def replace_section(number: int, name: str, content: bytes) -> None:
    """Have other content in a section: it stands at the end of the file. Raises ValueError where it has no room."""
    section = _named(number, name)
    if len(content) > section.room:
        raise ValueError(f"section {name} has room for {section.room} bytes, and {len(content)} are wanted")
    padded = content.ljust(-(-len(content) // _ALIGNED) * _ALIGNED, b"\0")
    at = -(-os.fstat(number).st_size // _ALIGNED) * _ALIGNED
    os.pwrite(number, padded, at)
    row = _ROW.pack(name.encode("ascii"), len(content), section.memory, len(padded), at)
    os.pwrite(number, row, section.row)


def remove_signature(number: int) -> None:
    """Have an open file without the signatures at its end, as before it was signed. Raises ValueError."""
    with _opened(number) as image:
        told = image.OPTIONAL_HEADER.DATA_DIRECTORY[CERTIFICATES]
        row, start, size = told.get_file_offset(), told.VirtualAddress, told.Size
    if not size:
        return
    if start + size != os.fstat(number).st_size:
        raise ValueError("its signature is not at its end")
    os.pwrite(number, bytes(8), row)
    os.ftruncate(number, start)


def authenticode(number: int) -> str:
    """The sha256 by which firmware knows an open file that it may start, whatever has signed it. Raises ValueError.

    As Authenticode has it ("Windows Authenticode Portable Executable Signature Format", Calculating the PE Image Hash),
    and EDK II: headers, sections in the order of the file, and of the rest so much as they leave. virt-firmware begins
    the rest behind the last section, which is another one where `replace_section` has left a gap.
    """
    digest = hashlib.sha256()
    for start, end in _measured(number):
        for at in range(start, end, _PIECE_BYTES):
            digest.update(os.pread(number, min(_PIECE_BYTES, end - at), at))
    return digest.hexdigest()


def _measured(number: int) -> Iterator[tuple[int, int]]:
    with _opened(number) as image:
        optional, told = image.OPTIONAL_HEADER, image.OPTIONAL_HEADER.DATA_DIRECTORY[CERTIFICATES]
        checksum, row, done = optional.get_file_offset() + _CHECKSUM, told.get_file_offset(), optional.SizeOfHeaders
        yield from ((0, checksum), (checksum + 4, row), (row + told.sizeof(), done))
        for start, size in sorted((each.PointerToRawData, each.SizeOfRawData) for each in image.sections):
            yield start, start + size
            done += size
        yield done, os.fstat(number).st_size - told.Size


@contextmanager
def _opened(number: int) -> Iterator[pefile.PE]:
    """What it is made of. Raises ValueError, for what its user finds missing too."""
    try:
        with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as content:
            yield pefile.PE(data=content, fast_load=True)
    except (pefile.PEFormatError, ValueError, LookupError) as exc:  # or its headers have no row for certificates
        raise ValueError(f"it is no PE file: {exc}") from exc


def _named(number: int, name: str) -> Section:
    found = sections(number)
    if name not in found:
        raise ValueError(f"it has no section {name}, but {', '.join(found)}")
    return found[name]
