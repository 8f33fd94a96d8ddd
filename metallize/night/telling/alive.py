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
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._told = time.monotonic()
        self._tell("READY=1")

    def emit(self, event: Event, /) -> None:
        """Pass it on."""
        self._events.emit(event)
        now = time.monotonic()
        if now - self._told >= _AGAIN_SECONDS:
            self._told = now
            self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        """Whoever started it may not listen any more: that is no reason to end."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract socket (sd_notify(3)).
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own:
            own.sendto(state.encode(), address)
