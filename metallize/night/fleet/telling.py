"""How far a boot on a worker has come, on the terminal of the night's host: what is told, and what is made of it.

It travels by the scheduler, as events of one topic, and is not relied upon: what is lost is only not shown.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from metallize.events import Event, Events, Outcome, Progress, StepFinished, StepStarted
from metallize.model.visible import visible_line
from metallize.night.attempt import Cell

TOPIC = "metallize-boots"
IMAGE = "image"
"""The stage in which a worker waits for the image."""
_MOST_CHARACTERS = 40
Tell = Callable[[Mapping[str, object]], object]


class FromWorker:
    """Passes on how far a boot has come, and nothing else of it: it is told by its key."""

    def __init__(self, key: str, tell: Tell) -> None:
        self._key, self._tell = key, tell

    def emit(self, event: Event, /) -> None:
        """Tell of a progress."""
        if isinstance(event, Progress):
            self.reached(event.stage, event.seconds)

    def reached(self, stage: str, seconds: float) -> None:
        """It has come to a stage. That nobody can be told ends no boot."""
        with suppress(Exception):
            self._tell({"key": self._key, "stage": str(stage), "seconds": seconds})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boot:
    cell: Cell
    host: str
    begun: float
    last_seconds: float | None

    @property
    def step(self) -> str:
        return f"{self.cell} on {self.host}"


@dataclass(slots=True)
class Boots:
    """The boots of one night that go on on workers, as its host tells of them."""

    events: Events
    clock: Callable[[], float] = time.monotonic
    _boots: dict[str, _Boot] = field(default_factory=dict)
    """By the keys of their tasks."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begun(self, key: str, cell: Cell, host: str, last_seconds: float | None) -> None:
        """One was handed to a worker."""
        boot = _Boot(cell=cell, host=host, begun=self.clock(), last_seconds=last_seconds)
        with self._lock:
            self._boots[key] = boot
        self.events.emit(StepStarted(step=boot.step, title=boot.step, last_seconds=last_seconds))
        self._tell(boot, "handed over", 0.0)

    def heard(self, message: object) -> None:
        """What came of the topic, whoever has sent it; what is of no boot of ours is passed over."""
        if not isinstance(message, Mapping):
            return
        key, stage, seconds = (message.get(name) for name in ("key", "stage", "seconds"))
        if not isinstance(key, str) or not isinstance(stage, str) or isinstance(seconds, bool):
            return
        if not isinstance(seconds, int | float) or not math.isfinite(seconds):
            return
        with self._lock:
            boot = self._boots.get(key)
        if boot is not None:
            self._tell(boot, visible_line(stage)[:_MOST_CHARACTERS], max(float(seconds), 0.0))

    def ended(self, key: str, outcome: Outcome, detail: str = "") -> None:
        """One goes on no longer; nothing that is heard of it counts."""
        with self._lock:
            boot = self._boots.pop(key, None)
        if boot is not None:
            took = self.clock() - boot.begun
            self.events.emit(
                StepFinished(step=boot.step, title=boot.step, outcome=outcome, seconds=took, detail=detail)
            )

    def _tell(self, boot: _Boot, stage: str, seconds: float) -> None:
        where = f"{stage} on {boot.host}"
        self.events.emit(
            Progress(step=boot.step, what=str(boot.cell), stage=where, seconds=seconds, last_seconds=boot.last_seconds)
        )
