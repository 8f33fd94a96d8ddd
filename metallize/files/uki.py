"""A unified kernel image as a file that can be changed: its sections, other content for one of them, its signature.

It is a PE file (PE Format, Section Table; UAPI.5, Unified Kernel Image). Nothing moves: GRUB finds kernel and initrd by
the sectors at which they stand.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD_BYTES = 1 << 16
"""As much of the file as may hold its headers."""
_ROW = struct.Struct("<8sIIII")
"""Of the section table: name, size and place in memory, size and place in the file."""
_ROW_BYTES = 40
_ALIGNED = 512
_PIECE_BYTES = 1 << 20
_HEADERS, _CHECKSUM = 24 + 60, 24 + 64
"""Where it says how long its headers are, and where its checksum stands, behind the signature `PE`."""
_CERTIFICATES = {0x10B: 24 + 96 + 8 * 4, 0x20B: 24 + 112 + 8 * 4}
"""Where it tells of its certificate table, by the magic of its optional header: PE32, PE32+."""


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
    told = _table(number)
    starts = sorted(memory for _, _, _, memory, _, _ in told)
    found = {}
    for row, name, size, memory, raw, offset in told:
        after = next((start for start in starts if start > memory), memory + max(size, raw))
        section = Section(size=min(size, raw) or raw, offset=offset, room=after - memory, row=row, memory=memory)
        found[name] = section
    return found


def _table(number: int) -> list[tuple[int, str, int, int, int, int]]:
    """Of each section: where the file tells of it, and what; a name may be there twice. Raises ValueError."""
    head = os.pread(number, _HEAD_BYTES, 0)
    try:
        (header,) = struct.unpack_from("<I", head, 0x3C)
        signature, _, count, _, _, _, optional, _ = struct.unpack_from("<4sHHIIIHH", head, header)
        if signature != b"PE\0\0":
            raise ValueError("it has no PE header")
        told = []
        for row in (header + 24 + optional + _ROW_BYTES * each for each in range(count)):
            name, *places = _ROW.unpack_from(head, row)
            told.append((row, name.rstrip(b"\0").decode("ascii"), *places))
    except (struct.error, UnicodeDecodeError) as exc:
        raise ValueError(f"it is cut short, or no PE file: {exc}") from exc
    return told


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
    row, offset, size = _signature(number)
    if not size:
        return
    if offset + size != os.fstat(number).st_size:
        raise ValueError("its signature is not at its end")
    os.pwrite(number, bytes(8), row)
    os.ftruncate(number, offset)


def authenticode(number: int) -> str:
    """The sha256 by which firmware knows an open file that it may start, whatever has signed it.

    As Authenticode has it ("Windows Authenticode Portable Executable Signature Format", Calculating the PE Image Hash):
    headers, sections in the order of the file, and of the rest so much as they leave. Raises ValueError.
    """
    digest = hashlib.sha256()
    for start, end in _measured(number):
        for at in range(start, end, _PIECE_BYTES):
            digest.update(os.pread(number, min(_PIECE_BYTES, end - at), at))
    return digest.hexdigest()


def _measured(number: int) -> Iterator[tuple[int, int]]:
    row, _, certificates = _signature(number)
    head = os.pread(number, _HEAD_BYTES, 0)
    (header,) = struct.unpack_from("<I", head, 0x3C)
    (done,) = struct.unpack_from("<I", head, header + _HEADERS)
    yield 0, header + _CHECKSUM
    yield header + _CHECKSUM + 4, row
    yield row + 8, done
    for offset, size in sorted((offset, raw) for _, _, _, _, raw, offset in _table(number) if raw):
        yield offset, offset + size
        done += size
    yield done, os.fstat(number).st_size - certificates


def _signature(number: int) -> tuple[int, int, int]:
    """Where it tells of its certificate table, and where that is and how long. Raises ValueError."""
    head = os.pread(number, _HEAD_BYTES, 0)
    try:
        (header,) = struct.unpack_from("<I", head, 0x3C)
        (kind,) = struct.unpack_from("<H", head, header + 24)
        row = header + _CERTIFICATES[kind]
        return (row, *struct.unpack_from("<II", head, row))
    except (struct.error, LookupError) as exc:
        raise ValueError(f"it is cut short, or no PE file: {exc}") from exc


def _named(number: int, name: str) -> Section:
    found = sections(number)
    if name not in found:
        raise ValueError(f"it has no section {name}, but {', '.join(found)}")
    return found[name]
