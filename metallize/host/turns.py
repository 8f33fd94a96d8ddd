"""Locks by which processes know of each other, and a line of them in which who came first is served first.

A lock lasts for as long as its owner lives: the kernel opens it again when that process dies, however that happens,
and nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.1
LINE_NAME = "line"
_PLACE_BYTES = 1024
"""What one who waits has of the line's file."""
_GATE = 0
"""Who comes is here for as long as it takes to find the end of the line."""
_FIRST = 2
"""Not beside the gate: the kernel makes one of two locks that touch."""
_WHAT_CHARACTERS = 128
_FLOCK = struct.Struct("hhqqi0q")
"""struct flock of fcntl(2): type, whence, start, length, pid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a guest takes of the host, and what others are told it is."""

    what: str
    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds a lock, as it wrote itself."""

    pid: int
    what: str
    memory_bytes: int
    guest: str = field(default="", compare=False)
    """Tells two guests of one process apart, however alike they are."""
    since: float = field(default=0.0, compare=False)
    """When it signed, in seconds of the epoch; 0 where it did not say."""

    def __str__(self) -> str:
        return f"process {self.pid} ({self.what})"

    @property
    def seconds(self) -> float:
        """How long it has been here by now; 0 where it did not say."""
        return max(0.0, time.time() - self.since) if self.since else 0.0


def try_lock(file: IO[str]) -> bool:
    """Lock it where nobody else has; false where somebody has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(file: IO[str], need: Need, guest: str = "") -> None:
    """Write who holds it, for what and since when."""
    file.seek(0)
    file.truncate()
    file.write(_signature(need, guest))
    file.flush()


def holder_of(file: IO[str]) -> Holder | None:
    """Whom a file tells of; it may be read in the moment when it is written."""
    file.seek(0)
    return _signed_by(file.read())


def new_guest() -> str:
    """A name that no other guest has."""
    return secrets.token_hex(8)


def _signature(need: Need, guest: str = "") -> str:
    content = {"pid": os.getpid(), "what": need.what[:_WHAT_CHARACTERS], "memory": need.memory_bytes}
    return json.dumps({**content, "guest": guest, "since": round(time.time(), 1)})


def _signed_by(text: str) -> Holder | None:
    try:
        content = json.loads(text)
        return Holder(
            pid=int(content["pid"]),
            what=str(content["what"]),
            memory_bytes=int(content["memory"]),
            guest=str(content.get("guest", "")),
            since=float(content.get("since", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


@contextmanager
def head_of_the_line(folder: Path, need: Need, waits: Callable[[Holder | None, int], None]) -> Iterator[None]:
    """Wait until nobody who came earlier waits here, and keep everybody who came later behind while the body runs.

    `waits` is told for whom and how many wait before, while that is so.
    """
    with opened_line(folder) as line:
        mine = line.join(need)
        while ahead := line.taken(below=mine):
            waits(line.holder(ahead[-1]), len(ahead))
            time.sleep(POLL_SECONDS)
        yield


@contextmanager
def opened_line(folder: Path) -> Iterator[Line]:
    """The line of a folder; a place in it is given up with it."""
    descriptor = os.open(folder / LINE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield Line(descriptor)
    finally:
        os.close(descriptor)


class Line:
    """One file for all who wait: each locks its place in it and signs there.

    The locks are those of an open file description (fcntl(2)), not of a process: threads wait for each other as well.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor

    def join(self, need: Need) -> int:
        """Take the place behind everybody who waits."""
        self._lock(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, _GATE)
        try:
            mine = max(self.taken(), default=_FIRST - 1) + 1
            os.pwrite(self._file, _signature(need).encode().ljust(_PLACE_BYTES), mine * _PLACE_BYTES)
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, mine)
        finally:
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, _GATE)
        return mine

    def taken(self, *, below: int | None = None) -> list[int]:
        """The places at which others wait, first come first."""
        found = []
        unknown: list[tuple[int, int | None]] = [(_FIRST, below)]
        while unknown:
            first, end = unknown.pop()
            if end is None or first < end:
                place = self._locked_between(first, end)
                if place is not None:
                    found.append(place)
                    unknown += [(first, place), (place + 1, end)]
        return sorted(found)

    def holder(self, place: int) -> Holder | None:
        """Who waits there, as it signed; None where that cannot be read."""
        return _signed_by(os.pread(self._file, _PLACE_BYTES, place * _PLACE_BYTES).decode(errors="replace"))

    def _locked_between(self, first: int, end: int | None) -> int | None:
        """One place of these at which another waits, whichever the kernel finds first."""
        length = 0 if end is None else (end - first) * _PLACE_BYTES  # 0: however far
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first * _PLACE_BYTES, length, 0)
        kind, _, start, _, _ = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else start // _PLACE_BYTES

    def _lock(self, command: int, kind: int, place: int) -> None:
        fcntl.fcntl(self._file, command, _FLOCK.pack(kind, os.SEEK_SET, place * _PLACE_BYTES, _PLACE_BYTES, 0))
