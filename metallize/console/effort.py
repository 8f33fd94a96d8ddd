"""Whether a guest works or waits, by what the host's scheduler says of its process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Busy = Callable[[], float | None]
"""Seconds that a guest has worked so far; None where nobody can say."""
_NANOSECONDS = 1e9


def busy_seconds(pid: int) -> float | None:
    """How long the threads of a process have run, or waited for a processor to run on.

    None where the process is gone, or where the kernel does not tell (Documentation/scheduler/sched-stats.rst).
    """
    total, told = 0, False
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError, ValueError):  # one that ends meanwhile takes its figures with it
                run, waited, _ = (thread / "schedstat").read_text().split()
                total += int(run) + int(waited)
                told = True
    return total / _NANOSECONDS if told else None


class Idleness:
    """How much of a silence the guest has spent waiting: for a disk, a peer, or an end that never comes."""

    def __init__(self, busy: Busy = lambda: None) -> None:
        self.busy = busy
        self._since = 0.0
        self._begun = 0.0
        self._busy_then: float | None = None

    def seconds(self, since: float, now: float) -> float:
        """Of the time from `since`, when the silence began, what is known to have been spent waiting.

        It is known from the first time on that this is asked of a silence.
        """
        if since != self._since:
            self._since, self._begun, self._busy_then = since, now, self.busy()
        busy = self.busy()
        if busy is None or self._busy_then is None:
            return 0.0
        return max(0.0, now - self._begun - max(0.0, busy - self._busy_then))
