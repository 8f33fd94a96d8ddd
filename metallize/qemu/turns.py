"""Locked files by which processes know of each other, and a line of them in which who came first is served first.

A file is locked with flock(2) for as long as its owner lives: the kernel opens it again when that process dies,
however that happens, and nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a guest takes of the host, and what others are told it is."""

    what: str
    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds a file, as the file tells."""

    pid: int
    what: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"process {self.pid} ({self.what})"


def try_lock(file: IO[str]) -> bool:
    """Lock it where nobody else has; false where somebody has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(file: IO[str], need: Need) -> None:
    """Write who holds it, and for what."""
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "what": need.what, "memory": need.memory_bytes}, file)
    file.flush()


def holder_of(file: IO[str]) -> Holder | None:
    """Whom a file tells of; it may be read in the moment when it is written."""
    try:
        file.seek(0)
        content = json.load(file)
        return Holder(pid=int(content["pid"]), what=str(content["what"]), memory_bytes=int(content["memory"]))
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def head_of_the_line(folder: Path, need: Need, waits: Callable[[Holder | None], None]) -> Iterator[None]:
    """Wait until nobody who came earlier waits here, and keep everybody who came later behind while the body runs.

    Each has a ticket, a file whose name is the time at which it came. `waits` is told for whom, while that is so.
    """
    name = f"{time.monotonic_ns():020}-{os.getpid()}-{os.urandom(4).hex()}"  # one clock for all processes of a host
    ticket, draft = folder / f"waits-{name}", folder / f"draft-{name}"
    with draft.open("x+", encoding="utf-8") as mine:
        try_lock(mine)
        sign(mine, need)
        draft.rename(ticket)  # nobody sees it unlocked
        try:
            while (ahead := _next_ahead(folder, ticket.name)) is not None:
                waits(holder_of_ticket(ahead))
                time.sleep(POLL_SECONDS)
            yield
        finally:
            ticket.unlink(missing_ok=True)


def holder_of_ticket(ticket: Path) -> Holder | None:
    """Whose ticket it is; None where it has just been given up."""
    with suppress(FileNotFoundError), ticket.open(encoding="utf-8") as file:
        return holder_of(file)
    return None


def _next_ahead(folder: Path, mine: str) -> Path | None:
    """The ticket right before mine whose owner lives; those of the dead are taken away."""
    ahead = sorted((each for each in folder.glob("waits-*") if each.name < mine), reverse=True)
    for ticket in ahead:
        with suppress(FileNotFoundError), ticket.open("r+", encoding="utf-8") as file:
            if not try_lock(file):
                return ticket
            ticket.unlink(missing_ok=True)
    return None
