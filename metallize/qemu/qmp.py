"""QEMU's machine protocol, from threads that wait: an event loop in a thread of its own over qemu.qmp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import EventListener, Message, QMPClient, QMPError, Runstate

from metallize.errors import HostError
from metallize.patience import QMP_HEARD_OUT as HEARD_OUT

T = TypeVar("T")

ANSWER_SECONDS = 20.0
_LOOK_SECONDS = 0.01
_FORWARD = re.compile(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)")


class QmpMonitor:
    """One QMP session; events go to `on_event` from the session's thread, and everything goes to the log.

    What that thread dies of goes to `on_bug`: nobody hears of events any more.
    """

    def __init__(
        self,
        log: Path,
        on_event: Callable[[str, Mapping[str, object]], None],
        on_bug: Callable[[BaseException], None],
    ) -> None:
        self._on_event = on_event
        self._on_bug = on_bug
        self._log = log.open("w", encoding="utf-8")
        self._begun = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("metallize")
        self._client.logger.setLevel(logging.CRITICAL)  # it reports what we raise ourselves
        self._listener = EventListener()
        self._client.register_listener(self._listener)
        self._events: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="qmp", daemon=True)
        self._thread.start()

    def connect(self, port: socket.socket) -> None:
        """Greet QEMU over a connected socket. Raises HostError when it does not answer."""
        try:
            self._call(self._open(port))
        except (QMPError, OSError, TimeoutError) as exc:
            raise HostError(f"QEMU's monitor did not answer: {exc}") from exc

    def execute(self, command: str, **arguments: object) -> object:
        """Run a command and return its answer. Raises HostError when QEMU refuses or is gone."""
        if self._loop.is_closed():
            raise HostError("the machine is switched off")
        self._write("send", {"execute": command, "arguments": arguments})
        try:
            answer = self._call(self._client.execute(command, arguments or None))
        except (QMPError, OSError, TimeoutError) as exc:
            raise HostError(f"QEMU refused `{command}`: {exc}") from exc
        self._write("answer", {"return": answer})
        return answer

    @property
    def version(self) -> str:
        """QEMU's version, as it greeted us (`7.2.15`); empty before."""
        greeting = self._client.greeting
        numbers = greeting.QMP.version.get("qemu") if greeting is not None else None
        if not isinstance(numbers, Mapping):
            return ""
        return ".".join(str(numbers.get(part, 0)) for part in ("major", "minor", "micro"))

    def person(self, line: str, seconds: float = ANSWER_SECONDS) -> str:
        """What QEMU's monitor for people answers to a line; some of it exists nowhere else. Raises HostError."""
        self._write("send", {"human-monitor-command": line})
        try:
            arguments = {"command-line": line}
            answer = str(self._call(self._client.execute("human-monitor-command", arguments), seconds))
        except (QMPError, OSError, TimeoutError) as exc:
            raise HostError(f"QEMU refused `{line}`: {exc or type(exc).__name__}") from exc
        self._write("answer", {"return": answer})
        return answer.strip()

    def forwards(self) -> dict[int, int]:
        """Ports of the guest, each with the port of 127.0.0.1 that QEMU took for it."""
        text = str(self.execute("human-monitor-command", **{"command-line": "info usernet"}))
        return {int(guest): int(host) for host, guest in _FORWARD.findall(text)}

    def close(self) -> None:
        """End the session; QEMU may be gone already."""
        with contextlib.suppress(QMPError, OSError, TimeoutError, EOFError, asyncio.CancelledError):
            self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()
        self._log.close()

    def heard_out(self) -> None:
        """Wait until everything was told that QEMU said before it ended: why it did is among it."""
        telling = self._told()
        try:
            asyncio.run_coroutine_threadsafe(telling, self._loop).result(HEARD_OUT)
        except (RuntimeError, TimeoutError, CancelledError):  # the session is closed, or nobody reads it
            telling.close()

    async def _told(self) -> None:
        speaking = (Runstate.CONNECTING, Runstate.RUNNING)
        while self._client.runstate in speaking or not self._listener.empty():  # noqa: ASYNC110 - no event tells of both
            await asyncio.sleep(_LOOK_SECONDS)

    async def _open(self, port: socket.socket) -> None:
        await self._client.connect(port)
        self._events = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for event in self._listener:
                self._write("event", event)
                data = event.get("data")
                self._on_event(str(event["event"]), data if isinstance(data, dict) else {})
        except Exception as exc:  # noqa: BLE001 - handed to whoever waits for the guest
            self._on_bug(exc)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits for the guest
            self._on_bug(exc)

    async def _shut(self) -> None:
        if self._events is not None:
            self._events.cancel()
            await asyncio.gather(self._events, return_exceptions=True)
        await self._client.disconnect()

    def _call(self, work: Coroutine[Any, Any, T], seconds: float = ANSWER_SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def _write(self, what: str, message: Message | Mapping[str, object]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed, or the disk is full: the log is a courtesy
            body = json.dumps(dict(message), default=str)
            self._log.write(f"{time.monotonic() - self._begun:8.3f} {what} {body}\n")
            self._log.flush()
