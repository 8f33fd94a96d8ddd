"""How long each step took the last time, so that whoever waits knows for how long.

It is a help for people and nothing else: where it cannot be read nobody knows how long, where it cannot be written (a
full disk) nobody will.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from metallize.events import Event, Events, Outcome, StepFinished, StepStarted
from metallize.files.cache import cache_folder
from metallize.files.json_file import read_mapping

WORTH_SECONDS = 2.0
"""What is over sooner nobody waits for."""
_MOST = 1000


class Paced:
    """Passes events on: of a step that begins, with how long it took; what one took that came to a good end is kept.

    A step is known by its title, in the folder that is worked for.
    """

    def __init__(self, events: Events, folder: Path) -> None:
        self._events, self._place = events, f"{folder.absolute()}: "
        self._lock = threading.Lock()
        self._known = _read()

    def emit(self, event: Event, /) -> None:
        """Pass it on."""
        if isinstance(event, StepStarted):
            event = replace(event, last_seconds=self._known.get(self._place + event.title))
        self._events.emit(event)
        if isinstance(event, StepFinished) and event.outcome is Outcome.DONE and event.seconds >= WORTH_SECONDS:
            with self._lock:
                self._known = {**_read(), self._place + event.title: round(event.seconds, 1)}
                _write(self._known)


def _file() -> Path:
    return cache_folder() / "paces.json"


def _read() -> dict[str, float]:
    with suppress(OSError, ValueError):
        return {name: float(each) for name, each in read_mapping(_file()).items() if isinstance(each, int | float)}
    return {}


def _write(known: dict[str, float]) -> None:
    """The newest stand last, and stay."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(prefix=".paces.", dir=_file().parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape") as stream:
                json.dump(dict(list(known.items())[-_MOST:]), stream)
            Path(part).replace(_file())
        except OSError:
            Path(part).unlink(missing_ok=True)
