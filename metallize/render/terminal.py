"""Events on a terminal that somebody looks at. It imports rich, which takes a while."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import IO, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from metallize.events import Event, Level, Outcome, Progress, StepFinished, StepOutput, StepStarted
from metallize.model.visible import visible, visible_line
from metallize.render.words import finished, last_time, left, note, seconds, stage

_OUTPUT_LINES = 5


def console_on(stream: IO[str], *, coloured: bool) -> Console:
    """The terminal behind a stream."""
    return Console(file=stream, highlight=False, no_color=not coloured)


class Terminal:
    """Finished steps above, running ones below with their time and the last lines of their output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, tuple[str, float, float | None, Spinner, deque[str]]] = {}
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._live.stop()

    def emit(self, event: Event, /) -> None:
        with self._lock:
            if isinstance(event, StepStarted):
                lines: deque[str] = deque(maxlen=_OUTPUT_LINES)
                begun = (visible(event.title), time.monotonic(), event.last_seconds)
                self._running[event.step] = (*begun, Spinner("dots"), lines)
            elif isinstance(event, StepOutput):
                if event.line.strip() and event.step in self._running:
                    self._running[event.step][-1].append(visible_line(event.line))
            elif isinstance(event, StepFinished):
                self._running.pop(event.step, None)
                self._progress.pop(event.step, None)
                style = {Outcome.FAILED: "red", Outcome.NOTHING: "yellow"}.get(event.outcome, "")
                self._console.print(Text(finished(event), style=style))
            elif isinstance(event, Progress):
                if event.step in self._running:
                    self._progress[event.step] = event
            else:
                # The terminal wraps it: a command in it that is copied holds no line break of ours.
                style = "yellow" if event.level is Level.WARNING else "dim"
                self._console.print(Text(note(event), style=style), soft_wrap=True)

    def _picture(self) -> Group:
        rows: list[Any] = []
        for step, (title, since, last, spinner, lines) in tuple(self._running.items()):
            known, passed = self._progress.get(step), time.monotonic() - since
            far = left(passed, last) if known is None else visible(f", {stage(known)}{last_time(known)}")
            spinner.text = Text(f"{title} {seconds(passed)}{far}")
            rows.append(spinner)
            width = max(20, self._console.width - 6)
            rows += [Text(f"    {line[:width]}", style="dim", no_wrap=True) for line in tuple(lines)]
        return Group(*rows)
