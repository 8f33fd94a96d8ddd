"""A deadline is a value that is handed down, so that every wait knows when the whole must be done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock and the words for what is being waited for."""

    at: float
    purpose: str

    @classmethod
    def after(cls, span: timedelta | float, purpose: str) -> Deadline:
        """A deadline `span` (seconds or timedelta) from now."""
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        return cls(time.monotonic() + seconds, purpose)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.at

    def sooner(self, span: timedelta | float, purpose: str) -> Deadline:
        """The earlier of this deadline and one `span` from now, for a step inside a longer wait."""
        inner = Deadline.after(span, purpose)
        return inner if inner.at < self.at else Deadline(self.at, purpose)
