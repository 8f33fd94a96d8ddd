"""Events and results as JSON, one object a line."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from typing import IO, Any, Self

from metallize.events import Event, Note, Overview, Progress, StepFinished, StepOutput, StepStarted
from metallize.render.words import needed_by_all


class JsonLines:
    """One JSON object a line; `event` names its kind."""

    def __init__(self, stream: IO[str], *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event, /) -> None:
        if self._quiet and not needed_by_all(event):
            return
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
    Overview: "overview",
}
