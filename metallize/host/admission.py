"""How many guests run on a host at once: those of all processes of a user take turns, by cores and by memory.

Two emulated guests on the cores of one starve each other until both run out of time. A guest therefore takes slots
before it starts, one for each two of its CPUs; a host has one for each two cores. A slot is a file in the user's
runtime folder that is locked for as long as the guest runs. Whoever waits first is served first, the smaller ones too,
so that a guest that needs much is not waited to death.
"""

from __future__ import annotations

import contextlib
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
from metallize.host.turns import POLL_SECONDS, Holder, Need, head_of_the_line, holder_of, sign, try_lock

SLOTS_VARIABLE = "METALLIZE_GUESTS"
"""How many guests may run at once, whatever their size; 0: as many as are asked for."""
CPUS_PER_SLOT = 2
MEMORY_SHARE = 0.8
"""So much of the host's memory may all guests together be promised; one alone may have more."""
_SAY_AFTER_SECONDS = 0.5
"""Who waits no longer than that says nothing."""
_MOST_SLOTS = 4096


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
        with head_of_the_line(place, need, _Teller(need, events).tell):
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


class _Teller:
    """Says for whom a guest waits in line, when that takes a moment and whenever it is somebody else."""

    def __init__(self, need: Need, events: Events) -> None:
        self._need = need
        self._events = events
        self._begun = time.monotonic()
        self._said: Holder | None = None

    def tell(self, ahead: Holder | None) -> None:
        if ahead is None or ahead == self._said or time.monotonic() - self._begun < _SAY_AFTER_SECONDS:
            return
        self._said = ahead
        self._events.emit(Note(text=f"{self._need.what} waits in line behind {ahead}"))


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
                if try_lock(slot):
                    free.append(slot)
                else:
                    holder = holder_of(slot) or Holder(pid=0, what="another guest", memory_bytes=0)
                    holders[holder.pid, holder.what] = holder
            running = tuple(holders.values())
            if fits(need, capacity, len(free), running):
                wanted = capacity.slots_of(need)
                for mine in free[:wanted]:
                    sign(mine, need)
                for other in free[wanted:]:
                    other.close()
                held.push(attempt.pop_all())
                return
        if running != said and time.monotonic() - begun > _SAY_AFTER_SECONDS:
            said = running
            names = ", ".join(map(str, running))
            limit = f"{capacity.slots} slot{'s' if capacity.slots > 1 else ''} for guests; {SLOTS_VARIABLE} sets it"
            events.emit(Note(text=f"{need.what} waits for {names} to end (this host has {limit})"))
        time.sleep(POLL_SECONDS)
