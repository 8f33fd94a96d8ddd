"""A console on which so much is printed that nobody can read a prompt between, and who types there types blindly."""

from __future__ import annotations

from metallize.guest import Watch
from metallize.patience import FLOOD_END as END_SECONDS
from metallize.patience import FLOOD_WAIT as WAIT_SECONDS

BYTES = 1 << 16
"""What may be printed at once, as a kernel does when its console begins."""
BYTES_PER_SECOND = 10_000
"""And what may be printed all the time besides: a boot that tells all it does prints less."""
WAIT_BYTES = 128 << 20
FAST_BYTES_PER_SECOND = 1 << 16
"""One as fast as a serial port can print is waited for until it has printed that much: somebody logs a lot, once."""


class Flood:
    """Measures what is printed. It has no clock: whoever tells it something says when that was."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at = 0.0
        self._seconds = 0.0
        self.size_bytes = 0
        """What was printed while it went on."""

    def printed(self, now: float, size_bytes: int) -> None:
        self._seconds = self.seconds(now)
        left = max(0.0, self._level - BYTES_PER_SECOND * (now - self._at))
        self._level = min(BYTES + BYTES_PER_SECOND * END_SECONDS, left + size_bytes)
        self._at = now
        if self._level > BYTES:
            self.size_bytes += size_bytes

    def goes_on(self, now: float) -> bool:
        return self._left(now) > 0

    def seconds(self, now: float) -> float:
        """How long the console was flooded, in all."""
        return self._seconds + min(now - self._at, self._left(self._at))

    def _left(self, now: float) -> float:
        """Until it is over, when nothing more is printed."""
        return max(0.0, (self._level - BYTES) / BYTES_PER_SECOND - (now - self._at))


def waits_for_the_end(watch: Watch) -> bool:
    """Whether there is a flood now whose end is still waited for."""
    if not watch.flooded:
        return False
    seconds, size_bytes = watch.flooded_seconds, watch.flooded_bytes
    return seconds < WAIT_SECONDS * watch.slowness or FAST_BYTES_PER_SECOND * seconds < size_bytes < WAIT_BYTES
