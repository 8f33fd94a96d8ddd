"""Tells a person who waits how far a boot has come: its stage, its time so far, and how long the last one took."""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from metallize.errors import of_thread
from metallize.events import Events, Progress
from metallize.json_file import read_mapping
from metallize.model.report import Stage, Verdict

TICK_SECONDS = 30.0
_LOOKED_AT_FOLDERS = 10_000
_LOOKED_AT_REPORTS = 20
"""The newest ones."""
_REPORT_BYTES = 8 << 20


def last_seconds(runs: Path, accelerator: str) -> float | None:
    """How long the newest passed run in a machine's folder of runs took; None where nothing tells.

    A run with another accelerator tells nothing of this one. Whatever else lies there, or is written there badly, is
    no run.
    """
    try:
        with os.scandir(runs) as found:
            newest = heapq.nlargest(_LOOKED_AT_REPORTS, (each.name for each in islice(found, _LOOKED_AT_FOLDERS)))
    except OSError:
        return None
    for name in newest:
        with suppress(OSError, ValueError):
            report = read_mapping(runs / name / "report.json", most_bytes=_REPORT_BYTES)
            seconds, used = report.get("seconds"), report.get("accelerator")
            if report.get("verdict") != Verdict.PASSED or not isinstance(seconds, int | float):
                continue
            if isinstance(used, dict) and used.get("name") == accelerator and math.isfinite(seconds) and seconds > 0:
                return float(seconds)
    return None


class Ticker:
    """Emits a Progress at each stage and every 30 s in between, from a thread of its own, while it is open.

    Raises on leaving, where the body did not, what that thread has died of.
    """

    def __init__(
        self,
        events: Events,
        step: str,
        machine: str,
        last: float | None,
        *,
        tick_seconds: float = TICK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._step = step
        self._machine = machine
        self._last = last
        self._tick_seconds = tick_seconds
        self._clock = clock
        self._begun = clock()
        self._stage = Stage.QEMU
        self._over = threading.Event()
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"progress of {machine}", daemon=True)

    def __enter__(self) -> Self:
        self._tell()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if error is None and self._broken is not None:
            raise of_thread("the thread that tells of progress", self._broken)

    def reached(self, stage: Stage) -> None:
        """The boot has come to a stage."""
        self._stage = stage
        self._tell()

    def _tell(self) -> None:
        seconds = self._clock() - self._begun
        self._events.emit(
            Progress(step=self._step, what=self._machine, stage=self._stage, seconds=seconds, last_seconds=self._last)
        )

    def _run(self) -> None:
        try:
            while not self._over.wait(self._tick_seconds):
                self._tell()
        except BaseException as exc:  # noqa: BLE001 - raised in whoever opened it
            self._broken = exc
