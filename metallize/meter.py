"""How far a step has come that works through many bytes, and how long the rest of it takes."""

from __future__ import annotations

import time

from metallize.events import StepHandle

_TELLING_SECONDS = 1.0
"""So long at the least a pace is watched before it is told."""


class Meter:
    """Says how far a step has come, once per percent, and how long the rest takes."""

    def __init__(self, handle: StepHandle, size: int) -> None:
        self._handle, self._size, self._said = handle, size, -1
        self._begun = time.monotonic()

    def at(self, done: int) -> None:
        """So many bytes are done."""
        percent = done * 100 // self._size if self._size else 100
        if percent > self._said:
            self._said = percent
            left = time_left(time.monotonic() - self._begun, done, self._size)
            self._handle.output(f"{percent} % of {self._size / 1e6:.0f} MB{left}")


def time_left(seconds: float, done: int, total: int) -> str:
    """How long the rest takes at the pace so far, in words; empty where that is too early to tell, or over."""
    if seconds < _TELLING_SECONDS or not 0 < done < total:
        return ""
    left = seconds * (total - done) / done
    return f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"  # noqa: PLR2004 - a minute
