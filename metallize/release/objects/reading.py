"""A file that is read out of a bucket: piece by piece, from any place in it, and on from there where the line broke."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from metallize.release.objects.bucket import Bucket, Listed
from metallize.release.objects.errors import told

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody

_BREAKS = 4
"""So many times the line may break with nothing come over it since."""
_PIECE_BYTES = 32 << 10
"""What has come of a piece is lost where the line breaks in it."""


class Reading(io.RawIOBase):
    """One object, the same one from beginning to end: where somebody puts another in its place, that is an error."""

    def __init__(self, bucket: Bucket, listed: Listed) -> None:
        self._bucket, self._listed = bucket, listed
        self._at = 0
        self._body: StreamingBody | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._listed.size_bytes}[whence]
        if base + offset != self._at:
            self._drop()
            self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), _PIECE_BYTES, self._listed.size_bytes - self._at)
        if wanted <= 0:
            return 0
        for attempt in range(_BREAKS):
            try:
                if self._body is None:
                    self._body = self._bucket.opened(self._listed.key, self._listed.etag, self._at)
                piece = self._body.read(wanted)
            except BotoCoreError:
                self._drop()
                if attempt == _BREAKS - 1:
                    with told(self._bucket.place(self._listed.key)):
                        raise
                continue
            if piece:
                view[: len(piece)] = piece
                self._at += len(piece)
                return len(piece)
            self._drop()
        return 0

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
