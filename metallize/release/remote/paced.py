"""The bytes of an answer as they come, from a server that may waste time: whoever reads them never waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from metallize.patience import FETCH_SLOW

_PIECE_BYTES = 1 << 20
_LEAST_BYTES = 64 << 10
"""Of what comes within `FETCH_SLOW`: a server that sends less is one that wastes time."""


class Answer(Protocol):
    """What is read."""

    def read1(self, amt: int, /) -> bytes: ...


def pieces(answer: Answer, broken: tuple[type[Exception], ...], slow: float = FETCH_SLOW) -> Iterator[bytes]:
    """Of a MiB each. Raises TimeoutError for a server that sends almost nothing, after what it has sent.

    `broken` is what a line raises that breaks; what came before is given first. `slow` is in seconds.
    """
    waiting, since, seen = bytearray(), time.monotonic(), 0
    failed: Exception | None = None
    while failed is None:
        try:
            part = answer.read1(_PIECE_BYTES - len(waiting))
        except broken as exc:
            failed = exc
            break
        if not part:
            break
        waiting += part
        seen += len(part)
        if len(waiting) == _PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
            since, seen = time.monotonic(), 0  # whoever takes the pieces may be slower than the server
        elif time.monotonic() - since > slow:
            if seen < _LEAST_BYTES:
                failed = TimeoutError(f"the server sends {seen} bytes in {slow:.0f} s")
            since, seen = time.monotonic(), 0
    if waiting:
        yield bytes(waiting)
    if failed is not None:
        raise failed
