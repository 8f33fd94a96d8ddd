"""A unified kernel image as a file that can be changed: its sections, and other content for one of them.

It is a PE file (PE Format, Section Table; UAPI.5, Unified Kernel Image). Nothing moves: GRUB finds kernel and initrd by
the sectors at which they stand.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

_HEAD_BYTES = 1 << 16
"""As much of the file as may hold its headers."""
_ROW = struct.Struct("<8sIIII")
"""Of the section table: name, size and place in memory, size and place in the file."""
_ROW_BYTES = 40
_ALIGNED = 512


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


def _named(number: int, name: str) -> Section:
    found = sections(number)
    if name not in found:
        raise ValueError(f"it has no section {name}, but {', '.join(found)}")
    return found[name]
