"""The events of one cell's boot, among those of the others."""

from __future__ import annotations

from dataclasses import replace

from metallize.events import Event, Events, Named, Progress, StepFinished, StepOutput, StepStarted
from metallize.night.attempt import Cell


class OfCell:
    """Passes a boot's events on with the cell's name: those of other cells come in between."""

    def __init__(self, events: Events, cell: Cell) -> None:
        self._events, self._name, self._what = Named(events, str(cell)), cell.name, str(cell)

    def emit(self, event: Event, /) -> None:
        """Pass it on."""
        if isinstance(event, StepStarted | StepOutput | StepFinished):
            event = replace(event, step=f"{self._name} {event.step}")
        elif isinstance(event, Progress):
            event = replace(event, step=f"{self._name} {event.step}", what=self._what)
        self._events.emit(event)
