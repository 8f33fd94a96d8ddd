"""A file that is read over a line: piece by piece, from any place in it, and on from there where the line broke."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BREAKS = 4
"""So many times the line may break with nothing come over it since."""
_PIECE_BYTES = 32 << 10
"""What has come of a piece is lost where the line breaks in it."""


class Body(Protocol):
    """What an answer carries."""

    def read(self, amt: int, /) -> bytes: ...

    def close(self) -> None: ...


class Source(Protocol):
    """A file at the other end."""

    @property
    def broken(self) -> tuple[type[Exception], ...]:
        """What is raised where the line breaks."""
        ...

    @property
    def size_bytes(self) -> int: ...

    def opened(self, at: int) -> Body:
        """The rest of it, from that byte on."""
        ...

    def give_up(self, error: Exception) -> None:
        """Raises the error as one that a person understands."""
        ...


class Reading(io.RawIOBase):
    """One file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self._body: Body | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size_bytes}[whence]
        if base + offset != self._at:
            self._drop()
            self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), _PIECE_BYTES, self._source.size_bytes - self._at)
        if wanted <= 0:
            return 0
        for attempt in range(_BREAKS):
            try:
                if self._body is None:
                    self._body = self._source.opened(self._at)
                piece = self._body.read(wanted)
            except self._source.broken as exc:
                self._drop()
                if attempt == _BREAKS - 1:
                    self._source.give_up(exc)
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
