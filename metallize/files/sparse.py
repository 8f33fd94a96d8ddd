"""Where a sparse file has data and where it has holes (lseek(2): SEEK_DATA, SEEK_HOLE)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Bytes `start` to `start + length` of a file; a hole reads as zeros."""

    start: int
    length: int
    hole: bool


def extents(file: int, size_bytes: int) -> Iterator[Extent]:
    """All of an open file, in order; one extent of data where its filesystem knows no holes."""
    at = 0
    while at < size_bytes:
        data = _seek(file, at, os.SEEK_DATA, size_bytes)
        if data > at:
            yield Extent(start=at, length=data - at, hole=True)
        at = _seek(file, data, os.SEEK_HOLE, size_bytes)
        if at > data:
            yield Extent(start=data, length=at - data, hole=False)


def _seek(file: int, at: int, whence: int, size_bytes: int) -> int:
    if at >= size_bytes:
        return size_bytes
    try:
        return min(os.lseek(file, at, whence), size_bytes)
    except OSError as exc:
        if exc.errno == errno.ENXIO or whence == os.SEEK_HOLE:  # no data after `at`; no holes at all
            return size_bytes
        return at
