"""How far a step has come that works through an image."""

from __future__ import annotations

from metallize.events import StepHandle


class Meter:
    """Says how far a step has come, once per percent."""

    def __init__(self, handle: StepHandle, size: int) -> None:
        self._handle, self._size, self._said = handle, size, -1

    def at(self, done: int) -> None:
        percent = done * 100 // self._size
        if percent > self._said:
            self._said = percent
            self._handle.output(f"{percent} % of {self._size / 1e6:.0f} MB")
