"""How long a way in may still take: a slow host stretches it, a guest that only waits uses it up on any host."""

from __future__ import annotations

from collections.abc import Callable

from metallize.console.flood import waits_for_the_end
from metallize.deadline import Deadline
from metallize.guest import Watch

MOST_PATIENT = 6.0
"""On a host that is busy for a while, waiting for what does not come is not stretched further than that."""


class GuestSpan:
    """So many seconds from now on, as a host of normal speed takes, or as a guest spends waiting on any host."""

    def __init__(self, watch: Watch, seconds: float, purpose: str, *, most: float = MOST_PATIENT) -> None:
        """A slow host stretches them by its slowness, `most` times at most."""
        self.deadline = Deadline.after(seconds * min(watch.slowness, most), purpose)
        self._seconds = seconds
        self._idle = watch.idle_meter()

    @property
    def waiting_left(self) -> float:
        """Seconds that the guest may still only wait."""
        return self._seconds - self._idle()

    @property
    def over(self) -> bool:
        return self.deadline.expired or self.waiting_left <= 0


class Patience:
    """What is left of the time for a way in that has not come; without end until somebody sets one."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._over: Callable[[], bool] | None = None

    @property
    def is_limited(self) -> bool:
        return self._over is not None

    def give(self, seconds: float, purpose: str) -> None:
        """From now on so long and no longer."""
        self._over = self.limit(seconds, purpose)

    def over(self) -> bool:
        return self._over is not None and self._over()

    def limit(self, seconds: float, purpose: str) -> Callable[[], bool]:
        """Whether such a span is over: from now on, or from the end of a flood in which nobody can log in."""
        span = GuestSpan(self._watch, seconds, purpose)

        def over() -> bool:
            nonlocal span
            if waits_for_the_end(self._watch):
                span = GuestSpan(self._watch, seconds, purpose)
            return span.over

        return over
