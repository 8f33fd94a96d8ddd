"""Telling systemd that a night has begun and goes on, where a unit that wants to know has started it: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from metallize.events import Event, Events

_AGAIN_SECONDS = 10.0


class Alive:
    """Passes events on, and with them tells that something still happens."""

    def __init__(self, events: Events, environment: Mapping[str, str] = os.environ) -> None:
        self._events = events
        self._environment = environment
        self._told = time.monotonic()

    def emit(self, event: Event, /) -> None:
        """Pass it on."""
        self._events.emit(event)
        now = time.monotonic()
        if now - self._told >= _AGAIN_SECONDS:
            self._told = now
            _tell("WATCHDOG=1", self._environment)


def begun(environment: Mapping[str, str] = os.environ) -> None:
    """Tell that it has started: whatever becomes of it now is its own end, and no failure to start."""
    _tell("READY=1", environment)


def _tell(state: str, environment: Mapping[str, str]) -> None:
    """Whoever started it may not listen any more: that is no reason to end."""
    place = environment.get("NOTIFY_SOCKET", "")
    if not place:
        return
    # A leading @ stands for the zero byte of an abstract socket (sd_notify(3)).
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own:
        own.sendto(state.encode(), address)
