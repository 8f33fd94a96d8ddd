"""A GUID partition table with its copy at the end of the disk, held to its checksums (UEFI 2.10, 5.3)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_SECTOR = 512
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MOST_BYTES = 1 << 20
"""Of the table's rows: others have 16 KiB."""
Read = Callable[[int, int], bytes]
"""So many bytes from an offset on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One partition, in bytes."""

    start: int
    size: int
    kind: bytes
    """The GUIDs of its type and of its own, as the table has them."""
    identity: bytes
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What the disk says of itself."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    """Of one of the two copies, where the other is whole."""


def read_table(read: Read, disk_bytes: int) -> Table:
    """The table, or else its copy, as firmware and Linux take it. Raises ValueError where neither is whole."""
    problems = []
    for what, at in (("the table", _SECTOR), ("its copy", disk_bytes - _SECTOR)):
        try:
            rows = _rows(read, at)
        except ValueError as exc:
            problems.append(f"{what}: {exc}")
        else:
            return Table(rows=rows, problems=tuple(problems))
    raise ValueError("; ".join(problems))


def _rows(read: Read, at: int) -> tuple[Row, ...]:
    sector = read(at, _SECTOR) if at >= 0 else b""
    if len(sector) < _HEADER.size:
        raise ValueError("it is not on the disk")
    signature, _, size, told, _, place, _, _, _, _, first, count, each, told_rows = _HEADER.unpack_from(sector)
    if signature != b"EFI PART" or not _HEADER.size <= size <= _SECTOR:
        raise ValueError("there is none")
    if zlib.crc32(sector[:16] + bytes(4) + sector[20:size]) != told:
        raise ValueError("its header is damaged")
    if place * _SECTOR != at or each < _ENTRY.size or count * each > _MOST_BYTES:
        raise ValueError("its header is not of this place")
    content = read(first * _SECTOR, count * each)
    if zlib.crc32(content) != told_rows:
        raise ValueError("its rows are not those of its header")
    rows = []
    for number in range(count):
        kind, identity, begin, end, _, label = _ENTRY.unpack_from(content, number * each)
        if any(kind) and end >= begin:
            name = label.decode("utf-16-le", "replace").partition("\0")[0]
            rows.append(
                Row(start=begin * _SECTOR, size=(end - begin + 1) * _SECTOR, kind=kind, identity=identity, label=name)
            )
    return tuple(rows)
