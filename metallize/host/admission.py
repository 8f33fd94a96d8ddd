"""How many guests run on a host at once: those of all processes of a user take turns, by cores and by memory.

Two emulated guests on the cores of one starve each other until both run out of time. A guest therefore takes slots
before it starts, one for each of its CPUs; a host has one for each core that this process may use (share.py). A slot is
a file in the user's runtime folder that is locked for as long as the guest runs. Whoever waits first is served first,
the smaller ones too, so that a guest that needs much is not waited to death.
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
from metallize.host.share import usable_cores, usable_memory_bytes
from metallize.host.turns import POLL_SECONDS, Holder, Need, head_of_the_line, holder_of, new_guest, sign, try_lock

SLOTS_VARIABLE = "METALLIZE_GUESTS"
"""How many guests may run at once, whatever their size; 0: as many as are asked for."""
MEMORY_SHARE = 0.8
"""So much of the host's memory may all guests together be promised; one alone may have more."""
_SAY_AFTER_SECONDS = 0.5
"""Who waits no longer than that says nothing."""
_SAY_AGAIN_SECONDS = 30.0
"""Who waits on says so again, so that a log shows that it is alive."""
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
        return 1 if self.whole_slots else min(self.slots, max(1, need.cpus))


def capacity_of(setting: str, cores: int, memory_bytes: int) -> Capacity | None:
    """The host's capacity; None where there is no limit. Pure. Raises HostError for a setting that is no number."""
    share = int(memory_bytes * MEMORY_SHARE)
    if not setting.strip():
        return Capacity(slots=max(1, cores), memory_bytes=share)
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


def room_beside(need: Need, running: Sequence[Need]) -> bool:
    """Whether this process should start a guest beside those that it runs itself.

    Without a limit for guests (METALLIZE_GUESTS=0) it is still the host's cores that say so: nobody who boots an image
    on two machines asks for guests that starve each other. Raises HostError where the setting is wrong.
    """
    cores, memory_bytes = usable_cores(), usable_memory_bytes()
    capacity = capacity_of(os.environ.get(SLOTS_VARIABLE, ""), cores, memory_bytes)
    capacity = capacity or capacity_of("", cores, memory_bytes)
    if capacity is None:
        raise AssertionError("a host without a setting has a capacity")
    taken = sum(capacity.slots_of(each) for each in running)
    holders = [Holder(pid=0, what=each.what, memory_bytes=each.memory_bytes) for each in running]
    return fits(need, capacity, capacity.slots - taken, holders)


@contextmanager
def admitted(need: Need, events: Events, *, folder: Path | None = None) -> Iterator[None]:
    """Wait until the host has room for the guest, and keep that room while the body runs.

    Raises HostError where the setting is wrong. A host that has no folder for the locks admits everybody.
    """
    capacity = capacity_of(os.environ.get(SLOTS_VARIABLE, ""), usable_cores(), usable_memory_bytes())
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
        self._again = self._begun + _SAY_AFTER_SECONDS

    def tell(self, ahead: Holder | None, before: int) -> None:
        now = time.monotonic()
        if ahead is None or now - self._begun < _SAY_AFTER_SECONDS or (ahead == self._said and now < self._again):
            return
        self._said, self._again = ahead, now + _SAY_AGAIN_SECONDS
        place = f"place {before + 1} in line, for {now - self._begun:.0f} s"
        self._events.emit(Note(text=f"{self._need.what} waits in line behind {ahead} ({place})"))


def _take(place: Path, need: Need, capacity: Capacity, held: ExitStack, events: Events) -> None:
    """Wait for enough free slots and lock them; `held` gives them back."""
    said: tuple[Holder, ...] = ()
    begun = time.monotonic()
    again = begun + _SAY_AFTER_SECONDS
    guest = new_guest()
    while True:
        with ExitStack() as attempt:
            free: list[IO[str]] = []
            holders: dict[tuple[int, str, str], Holder] = {}
            for number in range(capacity.slots):
                slot = attempt.enter_context((place / f"slot-{number}").open("a+", encoding="utf-8"))
                if try_lock(slot):
                    free.append(slot)
                else:
                    holder = holder_of(slot) or Holder(pid=0, what="another guest", memory_bytes=0)
                    holders[holder.pid, holder.what, holder.guest] = holder
            running = tuple(holders.values())
            if fits(need, capacity, len(free), running):
                wanted = capacity.slots_of(need)
                for mine in free[:wanted]:
                    sign(mine, need, guest)
                for other in free[wanted:]:
                    other.close()
                held.push(attempt.pop_all())
                return
        now = time.monotonic()
        if now - begun > _SAY_AFTER_SECONDS and (running != said or now >= again):
            said, again = running, now + _SAY_AGAIN_SECONDS
            names = " and ".join(f"{each}, running for {each.seconds:.0f} s," for each in running)
            text = f"{need.what} waits for {names} to end (first in line, for {now - begun:.0f} s; {_limit(capacity)})"
            events.emit(Note(text=text))
        time.sleep(POLL_SECONDS)


def _limit(capacity: Capacity) -> str:
    unit = "guest" if capacity.whole_slots else "core"
    slots = f"{capacity.slots} {unit}{'s' if capacity.slots > 1 else ''}"
    return f"this host has room for {slots}; {SLOTS_VARIABLE} sets how many guests may run"
