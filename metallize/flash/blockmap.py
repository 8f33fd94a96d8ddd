"""Which parts of an image hold data: its holes, and its blocks of zeros, need not be carried to a card.

Holes are found by lseek(2), SEEK_DATA and SEEK_HOLE. They still have to read as zeros on the target: a filesystem
maker punches holes where it means zeros (an empty inode table), so what was there before must not show through.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bytes `start` to `start + length` of the image; `data` is false where all of them are zero."""

    start: int
    length: int
    data: bool


def spans(image: int, size_bytes: int) -> Iterator[Span]:
    """The whole image in order, no span longer than a block; neighbouring holes come in one span.

    `image` is an open file descriptor.
    """
    zero_from: int | None = None
    for start, length, hole in _pieces(image, size_bytes):
        block = b"" if hole else os.pread(image, length, start)
        if hole or not block.strip(b"\0"):
            zero_from = start if zero_from is None else zero_from
            continue
        if zero_from is not None:
            yield Span(start=zero_from, length=start - zero_from, data=False)
            zero_from = None
        yield Span(start=start, length=length, data=True)
    if zero_from is not None:
        yield Span(start=zero_from, length=size_bytes - zero_from, data=False)


def _pieces(image: int, size_bytes: int) -> Iterator[tuple[int, int, bool]]:
    """Blocks of what the filesystem says is data, and whole holes: start, length, whether a hole."""
    at = 0
    while at < size_bytes:
        data = _seek(image, at, os.SEEK_DATA, size_bytes)
        if data > at:
            yield at, data - at, True
        end = _seek(image, data, os.SEEK_HOLE, size_bytes)
        for start in range(data, end, BLOCK_BYTES):
            yield start, min(BLOCK_BYTES, end - start), False
        at = end


def _seek(image: int, at: int, whence: int, size_bytes: int) -> int:
    if at >= size_bytes:
        return size_bytes
    try:
        return min(os.lseek(image, at, whence), size_bytes)
    except OSError as exc:
        if exc.errno == errno.ENXIO:  # no data after `at`
            return size_bytes
        if whence == os.SEEK_DATA:  # a filesystem that knows no holes
            return at
        return size_bytes
