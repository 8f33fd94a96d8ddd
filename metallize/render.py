"""Events on a terminal, as plain lines, or as JSON lines. The library emits; only this shows."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import IO, Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from metallize.events import Event, Events, Level, Note, Outcome, Progress, StepFinished, StepOutput, StepStarted
from metallize.model.visible import visible, visible_line

_MARKS = {Outcome.DONE: "✓", Outcome.CACHED: "=", Outcome.NOTHING: "-", Outcome.FAILED: "✗"}
_COLOURS = {Outcome.DONE: "", Outcome.CACHED: "", Outcome.NOTHING: "yellow", Outcome.FAILED: "red"}
_WORDS = {Outcome.DONE: "", Outcome.CACHED: " cached", Outcome.NOTHING: " found nothing", Outcome.FAILED: " failed"}
_OUTPUT_LINES = 5


class Renderer(Events, AbstractContextManager["Renderer"], Protocol):
    """Shows events while it is open."""


def choose(*, as_json: bool, verbose: bool) -> Renderer:
    """JSON lines on standard output for --json; else live progress on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonLines(sys.stdout)
    if sys.stderr.isatty() and not verbose:
        return Terminal(Console(stderr=True, highlight=False))
    return PlainLines(sys.stderr, verbose=verbose)


def seconds(value: float) -> str:
    """`0.4 s`, `12.3 s`, `2 m 05 s`."""
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.1f} s"
    return f"{int(value // 60)} m {int(value % 60):02d} s"


class JsonLines:
    """One JSON object a line; `event` names its kind."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event, /) -> None:
        self.write({"event": _NAMES[type(event)], "time": round(time.time(), 3), **asdict(event)})

    def write(self, content: dict[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(content, default=str) + "\n")
            self._stream.flush()


_NAMES = {
    StepStarted: "step-started",
    StepOutput: "step-output",
    StepFinished: "step-finished",
    Note: "note",
    Progress: "progress",
}


class PlainLines:
    """A line when a step ends, and every half minute how far a long one is: for logs.

    With `verbose` every line that a tool prints besides.
    """

    def __init__(self, stream: IO[str], *, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        """Of each step that goes on, at which of its seconds its progress was shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event, /) -> None:
        if isinstance(event, StepOutput):
            if self._verbose and event.line.strip():
                self._write(f"    | {visible_line(event.line)}")
        elif isinstance(event, StepStarted):
            if self._verbose:
                self._write(f"... {visible(event.title)}")
        elif isinstance(event, StepFinished):
            self._said.pop(event.step, None)
            self._write(f"{_finished(event)}")
        elif isinstance(event, Progress):
            if event.seconds - self._said.get(event.step, 0.0) >= _PROGRESS_SECONDS:
                self._said[event.step] = event.seconds
                self._write(visible(f"{event.what}: {_stage(event)}, {event.seconds:.0f} s{_last_time(event)}"))
        else:
            self._write(_note(event))

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


_PROGRESS_SECONDS = 29.5
"""Somewhat less than the time from one to the next, which no clock keeps to the moment."""


def _stage(event: Progress) -> str:
    """How far it is, in words."""
    return f"stage {event.stage}"


def _last_time(event: Progress) -> str:
    return "" if event.last_seconds is None else f" (last time {event.last_seconds:.0f} s)"


def _finished(event: StepFinished) -> str:
    detail = f" ({event.detail})" if event.detail else ""
    title = f"{_MARKS[event.outcome]} {event.title}{_WORDS[event.outcome]}"
    return visible(f"{title} {seconds(event.seconds)}{detail}")


def _note(event: Note) -> str:
    return visible(f"{'warning' if event.level is Level.WARNING else 'note'}: {event.text}")


class Terminal:
    """Finished steps above, running ones below with their time and the last lines of their output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, tuple[str, float, Spinner, deque[str]]] = {}
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
                self._running[event.step] = (visible(event.title), time.monotonic(), Spinner("dots"), lines)
            elif isinstance(event, StepOutput):
                if event.line.strip() and event.step in self._running:
                    self._running[event.step][3].append(visible_line(event.line))
            elif isinstance(event, StepFinished):
                self._running.pop(event.step, None)
                self._progress.pop(event.step, None)
                self._console.print(Text(_finished(event), style=_COLOURS[event.outcome]))
            elif isinstance(event, Progress):
                if event.step in self._running:
                    self._progress[event.step] = event
            else:
                # The terminal wraps it: a command in it that is copied holds no line break of ours.
                style = "yellow" if event.level is Level.WARNING else "dim"
                self._console.print(Text(_note(event), style=style), soft_wrap=True)

    def _picture(self) -> Group:
        rows: list[Any] = []
        for step, (title, since, spinner, lines) in tuple(self._running.items()):
            known = self._progress.get(step)
            far = "" if known is None else visible(f", {_stage(known)}{_last_time(known)}")
            spinner.text = Text(f"{title} {seconds(time.monotonic() - since)}{far}")
            rows.append(spinner)
            width = max(20, self._console.width - 6)
            rows += [Text(f"    {line[:width]}", style="dim", no_wrap=True) for line in tuple(lines)]
        return Group(*rows)
