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

from metallize.events import Event, Events, Level, Note, Outcome, StepFinished, StepOutput, StepStarted
from metallize.model.visible import visible, visible_line

_MARKS = {Outcome.DONE: ("✓", "green"), Outcome.CACHED: ("=", "cyan"), Outcome.FAILED: ("✗", "red")}
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


_NAMES = {StepStarted: "step-started", StepOutput: "step-output", StepFinished: "step-finished", Note: "note"}


class PlainLines:
    """A line when a step ends, and with `verbose` every line that a tool prints: for logs."""

    def __init__(self, stream: IO[str], *, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._lock = threading.Lock()

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
            self._write(f"{_finished(event)}")
        else:
            self._write(_note(event))

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def _finished(event: StepFinished) -> str:
    mark, _ = _MARKS[event.outcome]
    state = "" if event.outcome is Outcome.DONE else f" {event.outcome}"
    detail = f" ({event.detail})" if event.detail else ""
    return visible(f"{mark} {event.title}{state} {seconds(event.seconds)}{detail}")


def _note(event: Note) -> str:
    return visible(f"{'warning' if event.level is Level.WARNING else 'note'}: {event.text}")


class Terminal:
    """Finished steps above, running ones below with their time and the last lines of their output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, tuple[str, float, Spinner, deque[str]]] = {}
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
                colour = _MARKS[event.outcome][1]
                self._console.print(Text(_finished(event), style=colour if event.outcome is Outcome.FAILED else ""))
            else:
                # The terminal wraps it: a command in it that is copied holds no line break of ours.
                style = "yellow" if event.level is Level.WARNING else "dim"
                self._console.print(Text(_note(event), style=style), soft_wrap=True)

    def _picture(self) -> Group:
        rows: list[Any] = []
        for title, since, spinner, lines in tuple(self._running.values()):
            spinner.text = Text(f"{title} {seconds(time.monotonic() - since)}")
            rows.append(spinner)
            width = max(20, self._console.width - 6)
            rows += [Text(f"    {line[:width]}", style="dim", no_wrap=True) for line in tuple(lines)]
        return Group(*rows)
