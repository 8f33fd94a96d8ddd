"""Being alone in a place far away: a lock there that is written only over what was read.

Whoever holds it writes it anew all the time. Who waits looks whether it changes, by a clock of its own: one that has
not changed for LEASE_SECONDS is a dead one's; so it is at once where the process is known to be gone. A holder that
could not renew it for most of that time gives up by itself. One that was stopped for longer than that and wakes up
(SIGSTOP, a suspended host) finds the same before its next write; what decides is moreover compared and swapped.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from metallize.errors import HostError
from metallize.events import Events, Note
from metallize.files.json_file import as_mapping
from metallize.host.process import Process

LEASE_SECONDS = 60.0
_SAFE_PART = 0.7
"""Of the lease: so long a holder trusts in its last renewal."""
_RENEWALS = 4
"""In one lease."""
_POLL_SECONDS = 1.0
FREE = b"{}\n"
"""What a lock holds that its holder has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was read in a place, and by what it is known there."""

    content: bytes
    etag: str


class Lock(Protocol):
    """A small file that everybody who publishes there reads and writes."""

    @property
    def place(self) -> str:
        """Where the lock is, as a person names it."""
        ...

    @property
    def destination(self) -> str:
        """What it is the lock of."""
        ...

    def read(self) -> Held | None:
        """What it holds now; None where there is none yet."""
        ...

    def write(self, content: bytes, only_over: str | None) -> str | None:
        """Write it over what has that ETag, or with None where there is none; its own ETag.

        None where that does not hold, and whoever wrote something else has the lock.
        """
        ...


@dataclass(kw_only=True)
class Lease:
    """What whoever holds the lock knows of it."""

    lock: Lock
    seconds: float
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    etag: str = ""
    turn: int = 0
    renewed: float = 0.0
    """By the host's clock, when the last renewal was asked for that was granted."""
    lost: bool = False

    def require(self) -> None:
        """Raises HostError where somebody else may hold it by now: nothing is written any more."""
        if self.lost or _now() - self.renewed > self.seconds * _SAFE_PART:
            raise HostError(
                f"{self.lock.place} could not be renewed in time: somebody else may be publishing there now",
                hint="see the connection, or who else publishes there, then run it again: what is written is used",
            )

    def take(self, over: str | None) -> bool:
        """Write it over what has that ETag, or with None where there is nothing; whether that was still so."""
        self.turn += 1
        begun = _now()
        content = self.text()
        etag = self.lock.write(content, over)
        if etag is None:
            # An answer that was lost on the way, to a request that was sent again: then it is ours.
            now = self.lock.read()
            if now is None or now.content != content:
                return False
            etag = now.etag
        self.etag, self.renewed = etag, begun
        return True

    def renew(self, ended: threading.Event) -> None:
        """Keep it until that is set."""
        while not ended.wait(self.seconds / _RENEWALS):
            with suppress(HostError):  # the line is down: it is tried again, and `require` knows the time
                if not self.take(self.etag):
                    self.lost = True
                    return

    def free(self) -> None:
        """Leave it to the next one."""
        if not self.lost:
            self.lock.write(FREE, self.etag)

    def is_in(self, now: Held | None) -> bool:
        """Whether that is the lock as this one wrote it, now or when it was renewed."""
        try:
            return now is not None and as_mapping(json.loads(now.content)).get("by") == self.name
        except (ValueError, TypeError, RecursionError):
            return False

    def text(self) -> bytes:
        """What says who holds it."""
        try:
            process = str(Process.this_process())
        except OSError:
            process = ""
        told = {"by": self.name, "process": process, "turn": self.turn}
        return (json.dumps(told, sort_keys=True) + "\n").encode()


@contextmanager
def held(lock: Lock, events: Events, seconds: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Wait until nobody else holds the lock, and hold it."""
    lease = Lease(lock=lock, seconds=seconds)
    _acquire(lease, events)
    ended = threading.Event()
    thread = threading.Thread(target=lease.renew, args=(ended,), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        with suppress(HostError):  # then the next one waits for it to run out
            lease.free()


def _acquire(lease: Lease, events: Events) -> None:
    etag, since, told, ended = "", 0.0, False, threading.Event()
    while True:
        now = lease.lock.read()
        if now is None or is_free(now):
            if lease.take(now.etag if now is not None else None):
                return
            continue
        if now.etag != etag:
            etag, since = now.etag, _now()
        elif _now() - since > lease.seconds:
            if lease.take(etag):
                return
            continue
        if not told:
            told = True
            events.emit(
                Note(
                    text=f"somebody else is publishing to {lease.lock.destination}; waiting for them (for"
                    f" {lease.seconds:.0f} s, where nothing is heard of them)"
                )
            )
        ended.wait(min(_POLL_SECONDS, lease.seconds / _RENEWALS))


def _now() -> float:
    """Seconds that pass while the host is suspended too (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_free(held_now: Held) -> bool:
    """Whether its holder has left it, or is a process of this host that has ended."""
    try:
        told = as_mapping(json.loads(held_now.content))
    except (ValueError, TypeError, RecursionError):
        return False
    process = Process.parse(str(told.get("process", "")))
    return not told or (process is not None and process.gone)
