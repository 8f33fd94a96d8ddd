"""A block map for bmaptool(1): the digests of an image's blocks, by which a card is written and checked on the way.

Every block is in it, those of zeros too. bmaptool leaves a block alone that is not, and what the card held before would
show through: a file allocation table or an inode table that must read as zeros would not.
"""

from __future__ import annotations

import hashlib

BLOCK_BYTES = 4096
_RANGE_BLOCKS = 4096
"""16 MiB a digest: so soon a broken download is noticed."""
_RANGE_BYTES = BLOCK_BYTES * _RANGE_BLOCKS
_NO_DIGEST = "0" * 64
"""Stands for the file's own digest while that is made: so the format has it (bmap-tools, BmapCreate.py)."""


class Mapper:
    """Is given an image piece by piece, and then tells its map."""

    def __init__(self) -> None:
        self._digests: list[str] = []
        self._range = hashlib.sha256()
        self._size = 0

    def add(self, piece: bytes) -> None:
        """The next bytes of the image."""
        view = memoryview(piece)
        while view:
            room = _RANGE_BYTES - self._size % _RANGE_BYTES
            self._range.update(view[:room])
            self._size += len(view[:room])
            view = view[room:]
            if self._size % _RANGE_BYTES == 0:
                self._close()

    def _close(self) -> None:
        self._digests.append(self._range.hexdigest())
        self._range = hashlib.sha256()

    def text(self) -> str:
        """The map, of format 2.0; the image ends here."""
        if self._size % _RANGE_BYTES:
            self._close()
        blocks = -(-self._size // BLOCK_BYTES)
        ranges = []
        for number, digest in enumerate(self._digests):
            first, last = number * _RANGE_BLOCKS, min((number + 1) * _RANGE_BLOCKS, blocks) - 1
            span = f"{first}" if first == last else f"{first}-{last}"
            ranges.append(f'        <Range chksum="{digest}"> {span} </Range>\n')
        unsigned = (
            '<?xml version="1.0" ?>\n'
            '<bmap version="2.0">\n'
            f"    <ImageSize> {self._size} </ImageSize>\n"
            f"    <BlockSize> {BLOCK_BYTES} </BlockSize>\n"
            f"    <BlocksCount> {blocks} </BlocksCount>\n"
            f"    <MappedBlocksCount> {blocks} </MappedBlocksCount>\n"
            "    <ChecksumType> sha256 </ChecksumType>\n"
            f"    <BmapFileChecksum> {_NO_DIGEST} </BmapFileChecksum>\n"
            f"    <BlockMap>\n{''.join(ranges)}    </BlockMap>\n"
            "</bmap>\n"
        )
        return unsigned.replace(_NO_DIGEST, hashlib.sha256(unsigned.encode()).hexdigest(), 1)
