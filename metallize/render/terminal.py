"""Events on a terminal that somebody looks at. It imports rich, which takes a while."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import IO, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from metallize.events import (
    Event,
    Level,
    Line,
    Outcome,
    Overview,
    Progress,
    State,
    StepFinished,
    StepOutput,
    StepStarted,
)
from metallize.model.visible import visible, visible_line
from metallize.render.words import finished, last_time, left, note, overview, seconds, stage

_OUTPUT_LINES = 5


def console_on(stream: IO[str], *, coloured: bool) -> Console:
    """The terminal behind a stream."""
    return Console(file=stream, highlight=False, no_color=not coloured)


class Terminal:
    """Finished steps above, running ones below with their time and the last lines of their output.

    Of a run that tells of its whole, all the parts are below that, a line each, with what is known of those that run.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, tuple[str, float, float | None, Spinner, deque[str]]] = {}
        self._progress: dict[str, Progress] = {}
        self._overview: tuple[Overview, float] | None = None
        """The latest, and when it was told."""
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._overview = None
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
            elif isinstance(event, Overview):
                self._overview = event, time.monotonic()
            else:
                # The terminal wraps it: a command in it that is copied holds no line break of ours.
                style = "yellow" if event.level is Level.WARNING else "dim"
                self._console.print(Text(note(event), style=style), soft_wrap=True)

    def _picture(self) -> Group:
        rows: list[Any] = []
        told = self._overview
        parts = {line.what for line in told[0].lines} if told is not None else set[str]()
        stages = {each.what: each for each in tuple(self._progress.values())}
        for step, (title, since, last, spinner, lines) in tuple(self._running.items()):
            known, passed = self._progress.get(step), time.monotonic() - since
            if known is not None and known.what in parts:
                continue  # it has a line below
            far = left(passed, last) if known is None else visible(f", {stage(known)}{last_time(known)}")
            spinner.text = Text(f"{title} {seconds(passed)}{far}")
            rows.append(spinner)
            width = max(20, self._console.width - 6)
            rows += [Text(f"    {line[:width]}", style="dim", no_wrap=True) for line in tuple(lines)]
        if told is not None:
            rows += self._parts(*told, stages, max(3, self._console.height - len(rows) - 2))
        return Group(*rows)

    def _parts(self, told: Overview, since: float, stages: dict[str, Progress], room: int) -> list[Text]:
        """A line each; where there is no room for all, those that run first, and how many are not shown."""
        passed = time.monotonic() - since
        far = None if told.left_seconds is None else max(told.left_seconds - passed, 0.0)
        rows = [Text(overview(replace(told, left_seconds=far)), style="bold", no_wrap=True)]
        lines = sorted(told.lines, key=lambda line: _ORDER.index(line.state)) if len(told.lines) > room else told.lines
        shown = lines if len(lines) <= room else lines[: room - 1]
        wide = max((len(visible(line.what)) for line in told.lines), default=0)
        for line in shown:
            mark, style = _MARKS[line.state]
            text = f"{mark} {visible(line.what):{wide}}  {visible(_said(line, stages.get(line.what), passed))}"
            rows.append(Text(text.rstrip(), style=style, no_wrap=True, overflow="ellipsis"))
        if len(shown) < len(lines):
            rows.append(Text(f"  and {len(lines) - len(shown)} more", style="dim"))
        return rows


_ORDER = (State.RUNNING, State.FAILED, State.WAITING, State.DONE)
_MARKS = {
    State.WAITING: (" ", "dim"),
    State.RUNNING: ("»", ""),
    State.DONE: ("✓", "green"),
    State.FAILED: ("✗", "red"),
}


def _said(line: Line, progress: Progress | None, since: float) -> str:
    """What is known of one part, so many seconds after it was told."""
    if line.state is State.WAITING:
        return f"waits{'' if line.last_seconds is None else f', takes about {seconds(line.last_seconds)}'}"
    if line.state is not State.RUNNING or line.seconds is None:
        return line.detail
    passed = line.seconds + since
    where = f"{stage(progress)}, " if progress is not None else ""
    return f"{where}{seconds(passed)}{left(passed, line.last_seconds)}"
