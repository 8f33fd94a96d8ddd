"""Which parts of an image hold data: its holes, and its blocks of zeros, need not be carried to a card.

Holes still have to read as zeros on the target: a filesystem
maker punches holes where it means zeros (an empty inode table), so what was there before must not show through.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from metallize.files.sparse import extents

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
    for extent in extents(image, size_bytes):
        end = extent.start + extent.length
        if extent.hole:
            yield extent.start, extent.length, True
            continue
        for start in range(extent.start, end, BLOCK_BYTES):
            yield start, min(BLOCK_BYTES, end - start), False
