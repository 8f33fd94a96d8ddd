"""How many guests run on a host at once: those of all processes of a user take turns, by cores and by memory.

Two emulated guests on the cores of one starve each other until both run out of time. A guest therefore takes slots
before it starts, one for each two of its CPUs; a host has one for each two cores. A slot is a file in the user's
runtime folder that is locked with flock(2) for as long as the guest runs: the kernel opens it again when its holder
dies, however that happens, and nothing has to be cleaned up. Whoever waits first is served first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from metallize.errors import HostError
from metallize.events import Events, Level, Note

SLOTS_VARIABLE = "METALLIZE_GUESTS"
"""How many guests may run at once, whatever their size; 0: as many as are asked for."""
CPUS_PER_SLOT = 2
MEMORY_SHARE = 0.8
"""So much of the host's memory may all guests together be promised; one alone may have more."""
_POLL_SECONDS = 0.1
_SAY_AFTER_SECONDS = 0.5
"""Who waits no longer than that says nothing."""
_MOST_SLOTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a guest takes of the host, and what others are told it is."""

    what: str
    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a host has to give."""

    slots: int
    memory_bytes: int
    whole_slots: bool = False
    """Each guest takes one slot, whatever its size: the number was set by hand."""

    def slots_of(self, need: Need) -> int:
        """A guest that is larger than the host takes all of it."""
        return 1 if self.whole_slots else min(self.slots, max(1, -(-need.cpus // CPUS_PER_SLOT)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A guest that runs, as its slot tells."""

    pid: int
    what: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"process {self.pid} ({self.what})"


def capacity_of(setting: str, cores: int, memory_bytes: int) -> Capacity | None:
    """The host's capacity; None where there is no limit. Pure. Raises HostError for a setting that is no number."""
    share = int(memory_bytes * MEMORY_SHARE)
    if not setting.strip():
        return Capacity(slots=max(1, cores // CPUS_PER_SLOT), memory_bytes=share)
    if not setting.strip().isascii() or not setting.strip().isdigit() or int(setting) > _MOST_SLOTS:
        raise HostError(
            f"{SLOTS_VARIABLE}={setting}: it is the number of guests that may run at once", hint="0 means no limit"
        )
    return Capacity(slots=int(setting), memory_bytes=share, whole_slots=True) if int(setting) else None


def fits(need: Need, capacity: Capacity, free_slots: int, holders: Sequence[Holder]) -> bool:
    """Whether a guest may start beside those that run; pure."""
    if free_slots < capacity.slots_of(need):
        return False
    promised = sum(holder.memory_bytes for holder in holders)
    return not holders or promised + need.memory_bytes <= capacity.memory_bytes


@contextmanager
def admitted(need: Need, events: Events, *, folder: Path | None = None) -> Iterator[None]:
    """Wait until the host has room for the guest, and keep that room while the body runs.

    Raises HostError where the setting is wrong. A host that has no folder for the locks admits everybody.
    """
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0))
    capacity = capacity_of(os.environ.get(SLOTS_VARIABLE, ""), cores, memory_bytes)
    if capacity is None:
        yield
        return
    try:
        place = folder or runtime_folder()
    except OSError as exc:
        events.emit(Note(text=f"guests of other processes are not waited for: {exc}", level=Level.WARNING))
        yield
        return
    with ExitStack() as held:
        with (place / "queue").open("a+", encoding="utf-8") as queue:
            _wait_in_line(queue, need, events)
            _take(place, need, capacity, held, events)
        yield


def runtime_folder() -> Path:
    """The folder of the user's locks, made where there is none. Raises OSError where nobody may make one.

    Runtime folders are not kept over a reboot, and neither are guests.
    """
    user = os.getuid()
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}"
    if os.access(own, os.W_OK | os.X_OK) and Path(own).stat().st_uid == user:  # sudo may leave another's here
        folder = Path(own) / "metallize"
    else:
        shared = Path("/run/lock") if os.access("/run/lock", os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        folder = shared / f"metallize-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != user or info.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's own")
    return folder


def _wait_in_line(queue: IO[str], need: Need, events: Events) -> None:
    """Be the only one who takes slots: those who came earlier take theirs first."""
    said = False
    begun = time.monotonic()
    while not _lock(queue):
        if not said and time.monotonic() - begun > _SAY_AFTER_SECONDS:
            said = True
            events.emit(Note(text=f"{need.what} waits in line behind {_read(queue) or 'another guest'}"))
        time.sleep(_POLL_SECONDS)
    _write(queue, need)


def _take(place: Path, need: Need, capacity: Capacity, held: ExitStack, events: Events) -> None:
    """Wait for enough free slots and lock them; `held` gives them back."""
    said: tuple[Holder, ...] = ()
    begun = time.monotonic()
    while True:
        with ExitStack() as attempt:
            free: list[IO[str]] = []
            holders: dict[tuple[int, str], Holder] = {}
            for number in range(capacity.slots):
                slot = attempt.enter_context((place / f"slot-{number}").open("a+", encoding="utf-8"))
                if _lock(slot):
                    free.append(slot)
                else:
                    holder = _read(slot) or Holder(pid=0, what="another guest", memory_bytes=0)
                    holders[holder.pid, holder.what] = holder
            running = tuple(holders.values())
            if fits(need, capacity, len(free), running):
                wanted = capacity.slots_of(need)
                for mine in free[:wanted]:
                    _write(mine, need)
                for other in free[wanted:]:
                    other.close()
                held.push(attempt.pop_all())
                return
        if running != said and time.monotonic() - begun > _SAY_AFTER_SECONDS:
            said = running
            names = ", ".join(map(str, running))
            limit = f"{capacity.slots} slot{'s' if capacity.slots > 1 else ''} for guests; {SLOTS_VARIABLE} sets it"
            events.emit(Note(text=f"{need.what} waits for {names} to end (this host has {limit})"))
        time.sleep(_POLL_SECONDS)


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: IO[str], need: Need) -> None:
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "what": need.what, "memory": need.memory_bytes}, file)
    file.flush()


def _read(file: IO[str]) -> Holder | None:
    """Whom a lock file tells of; it may be read in the moment when it is written."""
    try:
        file.seek(0)
        content = json.load(file)
        return Holder(pid=int(content["pid"]), what=str(content["what"]), memory_bytes=int(content["memory"]))
    except (ValueError, KeyError, TypeError):
        return None
