"""Events as plain lines: for logs, and for whoever wants every line that a tool prints."""

from __future__ import annotations

import threading
import time
from typing import IO, Self

from metallize.events import Event, Level, Outcome, Overview, Progress, State, StepFinished, StepOutput, StepStarted
from metallize.model.visible import visible, visible_line
from metallize.render.colour import Style
from metallize.render.words import finished, last_time, needed_by_all, note, overview, stage

_STYLES = {Outcome.FAILED: Style.BAD, Outcome.DONE: None, Outcome.CACHED: None, Outcome.NOTHING: None}


class PlainLines:
    """A line when a step ends, and every half minute how far a long one is: for logs.

    With `verbose` every line that a tool prints besides; with `quiet` nothing but warnings and what failed.
    """

    def __init__(self, stream: IO[str], *, verbose: bool, quiet: bool = False, coloured: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose
        self._quiet = quiet
        self._coloured = coloured
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        """Of each step that goes on, at which of its seconds its progress was shown."""
        self._overviews: tuple[int, float] | None = None
        """How many parts had ended when an overview was shown, and when that was."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event, /) -> None:
        if self._quiet and not needed_by_all(event):
            return
        if isinstance(event, StepOutput):
            if self._verbose and event.line.strip():
                self._write(f"    | {visible_line(event.line)}")
        elif isinstance(event, StepStarted):
            if self._verbose:
                self._write(f"... {visible(event.title)}")
        elif isinstance(event, StepFinished):
            self._said.pop(event.step, None)
            self._write(self._painted(finished(event), _STYLES.get(event.outcome)))
        elif isinstance(event, Overview):
            self._overview(event)
        elif isinstance(event, Progress):
            if event.seconds - self._said.get(event.step, 0.0) >= _PROGRESS_SECONDS:
                self._said[event.step] = event.seconds
                self._write(visible(f"{event.what}: {stage(event)}, {event.seconds:.0f} s{last_time(event)}"))
        else:
            self._write(self._painted(note(event), Style.WARNING if event.level is Level.WARNING else None))

    def _overview(self, event: Overview) -> None:
        """A line when a part has ended, and not more often than every half minute."""
        ended, now = sum(each.state in (State.DONE, State.FAILED) for each in event.lines), time.monotonic()
        if self._overviews is None or (ended > self._overviews[0] and now - self._overviews[1] >= _PROGRESS_SECONDS):
            self._overviews = ended, now
            self._write(overview(event))

    def _painted(self, line: str, style: Style | None) -> str:
        return line if style is None else style.paint(line, on=self._coloured)

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


_PROGRESS_SECONDS = 29.5
"""Somewhat less than the time from one to the next, which no clock keeps to the moment."""
