"""How an image becomes the file that is fetched, and what is read back of that file.

A raw disk is compressed with xz in one block (RELEASE.md: bytes that are the same on every host); every other format is
shipped as it was booted. Nothing here holds more of an image in memory than a piece of it.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from metallize.model.profile import ImageFormat
from metallize.release.papers.blockmap import Mapper

LEVEL = 6
"""Of xz, as its own default: 94 MiB for whoever compresses, 9 MiB for whoever unpacks (xz(1))."""
WRITTEN_AS_IS = frozenset({ImageFormat.RAW, ImageFormat.ISO})
"""What goes to a card or a stick byte by byte, once it is unpacked: a block map tells of it."""
_CHUNK = 1 << 20
_MEMORY_BYTES = 128 << 20
"""For whoever unpacks what a stranger has packed; xz -9 takes 65 MiB (xz(1))."""
_XZ_MAGIC = b"\xfd7zXZ\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a shipped file holds, by reading all of it."""

    sha256: str
    size_bytes: int
    image_sha256: str
    """Of the image that it unpacks to; the file's own where it is not packed."""
    image_bytes: int
    block_map: str
    """Of the image, for bmaptool."""
    combined_sha256: str
    """Of what stands before the file, with the file behind it; empty where nothing does."""


def packed_suffix(image_format: ImageFormat) -> str:
    """What a shipped file's name ends with beyond the format's own suffix."""
    return ".xz" if image_format is ImageFormat.RAW else ""


def pack(source: BinaryIO, target: BinaryIO, *, packed: bool, level: int = LEVEL, seen: Callable[[int], None]) -> str:
    """Write the image as it is shipped; returns the digest of what was read. `seen` is told the bytes done so far.

    One thread and no filter but LZMA2: more threads would cut it into blocks by their own measure.
    """
    digest = hashlib.sha256()
    squeeze = lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=level) if packed else None
    done = 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk if squeeze is None else squeeze.compress(chunk))
        done += len(chunk)
        seen(done)
    if squeeze is not None:
        target.write(squeeze.flush())
    return digest.hexdigest()


def read_back(file: BinaryIO, seen: Callable[[int], None] = lambda _: None, *, before: bytes = b"") -> Content:
    """Read a shipped file to its end and unpack it where it is packed. Raises ValueError where it is damaged.

    `before` is what `combined_sha256` has before the file.
    """
    whole, image, mapper, combined = hashlib.sha256(), hashlib.sha256(), Mapper(), hashlib.sha256(before)
    sizes = [0, 0]
    for raw, pieces in _unpacked(file):
        whole.update(raw)
        if before:
            combined.update(raw)
        sizes[0] += len(raw)
        seen(sizes[0])
        for piece in pieces:
            image.update(piece)
            mapper.add(piece)
            sizes[1] += len(piece)
    return Content(
        sha256=whole.hexdigest(),
        size_bytes=sizes[0],
        image_sha256=image.hexdigest(),
        image_bytes=sizes[1],
        block_map=mapper.text(),
        combined_sha256=combined.hexdigest() if before else "",
    )


def digest_of(file: BinaryIO, seen: Callable[[int], None] = lambda _: None) -> str:
    """The sha256 of a file as it is, read in pieces."""
    digest, done = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        done += len(chunk)
        seen(done)
    return digest.hexdigest()


class Unpacker:
    """Is given a shipped file piece by piece, and gives what it unpacks to: itself, where it is not packed."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._head = b""
        self._unpack: lzma.LZMADecompressor | None = None
        self._begun = False

    def add(self, raw: bytes) -> Iterator[bytes]:
        """What more is known of the image. Raises ValueError where it is damaged, or longer than it may be."""
        if not self._begun:
            self._head += raw
            if len(self._head) < len(_XZ_MAGIC):
                return
            raw, self._begun = self._head, True
            if raw.startswith(_XZ_MAGIC):
                self._unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)
        if self._unpack is None:
            yield self._counted(raw)
            return
        if self._unpack.eof:
            raise ValueError("something follows the end of what xz compressed")
        for piece in _pieces(self._unpack, raw):
            yield self._counted(piece)

    def _counted(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError("it unpacks to more than was released")
        return piece

    def end(self) -> None:
        """Nothing follows. Raises ValueError where something would have to."""
        if self._unpack is not None and (not self._unpack.eof or self._unpack.unused_data):
            raise ValueError("it is cut short, or something follows its end")
        if self._left:
            raise ValueError(f"it is {self._left} bytes shorter than was released")


def _unpacked(file: BinaryIO) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Each piece of the file as it is, and what it unpacks to."""
    first = file.read(_CHUNK)
    if not first.startswith(_XZ_MAGIC):
        while first:
            yield first, iter((first,))
            first = file.read(_CHUNK)
        return
    unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    while first:
        if unpack.eof:
            raise ValueError("something follows the end of what xz compressed")
        yield first, _pieces(unpack, first)
        first = file.read(_CHUNK)
    if not unpack.eof or unpack.unused_data:
        raise ValueError("it is cut short, or something follows its end")


def _pieces(unpack: lzma.LZMADecompressor, raw: bytes) -> Iterator[bytes]:
    try:
        yield unpack.decompress(raw, _CHUNK)
        while not unpack.eof and not unpack.needs_input:
            yield unpack.decompress(b"", _CHUNK)
    except lzma.LZMAError as exc:
        raise ValueError(f"xz cannot unpack it: {exc}") from exc
