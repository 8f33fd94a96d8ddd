"""What happens, as values. The library emits them; only renderers turn them into text or JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"


class Outcome(StrEnum):
    DONE = "done"
    CACHED = "cached"
    NOTHING = "nothing"
    """It came to its end and found nothing; whoever asked goes on in another way."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step that takes time begins; `step` is its stable id, `title` what a person reads."""

    step: str
    title: str
    last_seconds: float | None = None
    """How long it took the last time it came to a good end; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """One line that a tool printed during a step."""

    step: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    step: str
    title: str
    outcome: Outcome
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a person should know that is no step: a fallback taken, a choice and its reason."""

    text: str
    level: Level = Level.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a step has come for which a person waits long: its stage, and how long it has gone on."""

    step: str
    what: str
    """Whose progress it is, in a word: several may go on at once."""
    stage: str
    seconds: float
    last_seconds: float | None = None
    """How long the same took in all, the last time it came to a good end; None where that is not known."""


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One of many things that are to be done."""

    what: str
    """As `Progress.what` has it."""
    state: State
    detail: str = ""
    """What came of it, in a few words."""
    last_seconds: float | None = None
    """How long it took the last times; None where that is not known."""
    seconds: float | None = None
    """How long it has gone on when this is told; None where it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that there is to do, told anew whenever a part of it begins or ends."""

    title: str
    lines: tuple[Line, ...]
    left_seconds: float | None = None
    """How long all of it goes on from now, from what earlier ones took; None where nothing is known of it."""
    is_least: bool = False
    """Whether it takes longer than that: of a part nothing is known."""


class Named:
    """Passes events on, and has each note begin with a name: several tell of themselves at once."""

    def __init__(self, events: Events, name: str) -> None:
        self._events = events
        self._name = name

    def emit(self, event: Event, /) -> None:
        """Pass it on."""
        if isinstance(event, Note) and not event.text.startswith(f"{self._name}: "):
            event = replace(event, text=f"{self._name}: {event.text}")
        self._events.emit(event)


Event = StepStarted | StepOutput | StepFinished | Note | Progress | Overview


class Events(Protocol):
    """Where events go; a renderer, a recorder in a test, or nowhere."""

    def emit(self, event: Event, /) -> None: ...


class Silent:
    """Events go nowhere."""

    def emit(self, event: Event, /) -> None:
        """Drop it."""


class StepHandle:
    """Given to the body of `step()`: say that it was cached or found nothing, add a detail, pass on output lines."""

    def __init__(self, events: Events, step: str) -> None:
        self._events = events
        self._step = step
        self.outcome = Outcome.DONE
        self.detail = ""

    def cached(self) -> None:
        self.outcome = Outcome.CACHED

    def nothing(self, why: str) -> None:
        """It found nothing, for that reason, and something else is tried."""
        self.outcome = Outcome.NOTHING
        self.detail = why

    def output(self, line: str) -> None:
        self._events.emit(StepOutput(step=self._step, line=line))


@contextmanager
def step(events: Events, name: str, title: str) -> Iterator[StepHandle]:
    """Emit the start and the finish of a step around the body, with its time and outcome."""
    events.emit(StepStarted(step=name, title=title))
    handle = StepHandle(events, name)
    begun = time.monotonic()
    try:
        yield handle
    except BaseException:
        handle.outcome = Outcome.FAILED
        raise
    finally:
        seconds = time.monotonic() - begun
        events.emit(StepFinished(step=name, title=title, outcome=handle.outcome, seconds=seconds, detail=handle.detail))
