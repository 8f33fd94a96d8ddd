"""How far a step over many bytes has come, and how long the rest of it will take."""

from __future__ import annotations

import time

from metallize.events import StepHandle
from metallize.release.page import size_text


class Meter:
    """Tells of a step once per percent."""

    def __init__(self, handle: StepHandle, size_bytes: int) -> None:
        self._handle, self._size, self._said, self._begun = handle, size_bytes, -1, time.monotonic()

    def at(self, done: int) -> None:
        """So many bytes are done."""
        percent = done * 100 // self._size if self._size else 100
        if percent <= self._said:
            return
        self._said = percent
        gone = time.monotonic() - self._begun
        left = f", {gone * (self._size - done) / done:.0f} s left" if done and gone > 1 else ""
        self._handle.output(f"{percent} % of {size_text(self._size)}{left}")
