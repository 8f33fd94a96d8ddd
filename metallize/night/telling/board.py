"""What a night still has to do: a line for each cell, and how long it goes on, from what the nights before took."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from metallize.events import Event, Events, Line, Overview, Progress, State
from metallize.model.report import BootReport
from metallize.night.attempt import Attempt, Status
from metallize.night.matrix.value import Entry, Matrix

_GOOD = (Status.PASS, Status.SKIP)


class Board:
    """Passes events on, and tells of the whole whenever a cell begins or ends."""

    def __init__(self, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._lines: dict[str, Line] = {}
        self._begun: dict[str, float] = {}
        """Of those that run, when."""
        self._cores = 1

    def begin(self, matrix: Matrix, attempts: Iterable[Attempt], cores: int) -> None:
        """Tell of a night of which these attempts are made. `cores` may be busy with guests at a time."""
        with self._lock:
            self._cores = max(1, cores)
            for each in matrix.longest_first():
                self._entries[str(each.cell)] = each
                self._lines[str(each.cell)] = Line(what=str(each.cell), state=State.WAITING, last_seconds=each.seconds)
            for attempt in attempts:
                self._end(attempt)
        self._tell()

    def emit(self, event: Event, /) -> None:
        """Pass it on; the first progress of a cell says that it runs."""
        self._events.emit(event)
        if isinstance(event, Progress) and event.what in self._lines:
            with self._lock:
                line = self._lines[event.what]
                runs = line.state is State.RUNNING
                if not runs:
                    self._begun[event.what] = self._clock() - event.seconds
                    self._lines[event.what] = replace(line, state=State.RUNNING, detail="")
            if not runs:
                self._tell()

    def seen(self, attempt: Attempt, _report: BootReport | None) -> None:
        """An attempt was written down."""
        if attempt.confirms:
            return
        with self._lock:
            known = self._end(attempt)
        if known:
            self._tell()

    def _end(self, attempt: Attempt) -> bool:
        line = self._lines.get(str(attempt.cell))
        if line is None:
            return False
        state = State.DONE if attempt.status in _GOOD else State.FAILED
        took = attempt.metrics.get("seconds")
        detail = f"{attempt.status}{f' after {took:.0f} s' if took else ''}"
        if state is State.FAILED and attempt.reason:
            detail += f": {attempt.reason}"
        self._lines[line.what] = replace(line, state=state, detail=detail)
        self._begun.pop(line.what, None)
        return True

    def _tell(self) -> None:
        with self._lock:
            if not self._lines:
                return
            now = self._clock()
            lines = tuple(
                replace(each, seconds=now - self._begun[each.what]) if each.what in self._begun else each
                for each in self._lines.values()
            )
            to_do = [
                Work(cpus=self._entries[each.what].cpus, seconds=_left(each))
                for each in sorted(lines, key=lambda line: line.state is State.WAITING)
                if each.state in (State.RUNNING, State.WAITING)
            ]
            known = left_seconds(to_do, self._cores)
            least = any(each.seconds is None for each in to_do)
        self._events.emit(Overview(title="night", lines=lines, left_seconds=known, is_least=least))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a cell still takes."""

    cpus: int
    seconds: float | None
    """None where nobody knows."""


def left_seconds(works: Sequence[Work], cores: int) -> float | None:
    """How long all of it takes on so many cores, each begun in this order as soon as it fits (Graham, 1969).

    None where nothing is known, or nothing is left. What is not known counts for nothing, so that the rest is a bound.
    """
    if all(each.seconds is None for each in works):
        return None
    free, now, running, waiting = cores, 0.0, list[tuple[float, int]](), list(works)
    while waiting:
        first = next((each for each in waiting if min(each.cpus, cores) <= free), None)
        if first is None:
            now, cpus = heapq.heappop(running)
            free += cpus
            continue
        waiting.remove(first)
        cpus = min(first.cpus, cores)
        free -= cpus
        heapq.heappush(running, (now + (first.seconds or 0.0), cpus))
    return max((end for end, _ in running), default=now)


def _left(line: Line) -> float | None:
    if line.last_seconds is None:
        return None
    return max(line.last_seconds - (line.seconds or 0.0), 0.0)
