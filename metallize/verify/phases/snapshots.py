"""A running guest, saved when it is ready and put back as often as needed: memory, devices and disk.

A guest that was put back is looked at before it is used again: its network must answer, and its clock, which stands
where it stood when it was saved, is set and must move on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from metallize.console.findings import Kept
from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import Shell, ShellError
from metallize.model.kind import Observation, whole_number
from metallize.patience import SNAPSHOTS_CLOCK as _CLOCK_SECONDS
from metallize.patience import SNAPSHOTS_OLDEST as OLDEST_SECONDS
from metallize.patience import SNAPSHOTS_SAVE as _SAVE_SECONDS
from metallize.patience import SNAPSHOTS_SHELL as _SHELL_SECONDS
from metallize.shells.ssh import connect
from metallize.verify.session import BootSession

NAME = "ready"
CLOCK_PROBE = "date +%s; sleep 1; date +%s"
_SET_CLOCK = "date -u -s @{seconds} >/dev/null && date +%s; sleep 1; date +%s"


class SnapshotFailed(Exception):  # noqa: N818 - it says what happened: a cold boot takes its place
    """The guest could not be saved, or is not sound after it was put back; the words say which."""


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The saved guest of a session that is ready."""

    session: BootSession
    kept: Kept
    clock_ahead_seconds: float
    """The guest's clock less the host's, when it was saved."""
    save_seconds: float
    saved_at: float = field(default_factory=time.monotonic)
    restores: list[float] = field(default_factory=list)
    """How long each took, until the guest could be used again."""

    def put_back(self, shell: Shell) -> Shell:
        """The guest as it was, and a shell in it. Raises SnapshotFailed where it is not sound, and GuestFailed."""
        begun = time.monotonic()
        watch = self.session.guest.watch
        if begun - self.saved_at > OLDEST_SECONDS:
            raise SnapshotFailed(
                f"the guest was saved {begun - self.saved_at:.0f} s ago, and put back it would see them pass at once"
            )
        if shell.name == "ssh":
            shell.close()
        _monitor(self.session, f"loadvm {NAME}")
        watch.put_back(self.kept)
        shell = _shell(self.session)
        self._set_clock(shell)
        watch.put_back(self.kept)  # the kernel may have wondered at the leap in time
        self.restores.append(time.monotonic() - begun)
        return shell

    def _set_clock(self, shell: Shell) -> None:
        seconds = round(time.time() + self.clock_ahead_seconds)
        [seen] = self.session.observer.run(shell, [_SET_CLOCK.format(seconds=seconds)]).observations
        problem = clock_problem(seen, time.time() + self.clock_ahead_seconds, self.session.slowness)
        if problem:
            raise SnapshotFailed(f"the guest's clock after it was put back: {problem}")


def save(session: BootSession, shell: Shell) -> Snapshot:
    """Save the guest as it is now. Raises SnapshotFailed, with QEMU's reason, and GuestFailed."""
    observer = session.observer
    [seen] = observer.run(shell, [CLOCK_PROBE]).observations
    times = _times(seen)
    if not times:
        raise SnapshotFailed("the guest does not tell the time")
    ahead = times[-1] - time.time()
    begun = time.monotonic()
    kept = session.guest.watch.kept()
    _monitor(session, f"savevm {NAME}")
    return Snapshot(session=session, kept=kept, clock_ahead_seconds=ahead, save_seconds=time.monotonic() - begun)


def clock_problem(seen: Observation | None, expected: float, slowness: float) -> str:
    """What is wrong with a clock that was asked twice, a second apart; empty where nothing is. Pure."""
    times = _times(seen)
    if len(times) < 2:  # noqa: PLR2004 - asked twice
        said = (seen.stderr.strip().splitlines() or ["no answer"])[0] if seen is not None else "no answer"
        return f"it cannot be set ({said})"
    if times[-1] <= times[0]:
        return "it stands still"
    if abs(times[-1] - expected) > _CLOCK_SECONDS * slowness:
        return f"it is {times[-1] - expected:+.0f} s off"
    return ""


def _times(seen: Observation | None) -> list[int]:
    words = seen.stdout.split() if seen is not None else []
    return [number for number in map(whole_number, words) if number is not None and number >= 0]


def _monitor(session: BootSession, line: str) -> None:
    try:
        said = session.guest.monitor.person(line, _SAVE_SECONDS * session.slowness)
    except HostError as exc:
        raise SnapshotFailed(str(exc)) from exc
    if said:
        raise SnapshotFailed(f"`{line}`: {said}")


def _shell(session: BootSession) -> Shell:
    """A way into a guest that was put back: a new connection over SSH, or the serial shell that it was saved with."""
    access, guest, ways = session.access, session.guest, session.ways
    limit = Deadline.after(_SHELL_SECONDS * session.slowness, "the guest's network")
    if access is not None and ways.ssh is not None and ways.ssh.error is None:
        try:
            shell = connect(guest.host_port(22), access, guest.watch, limit)
        except ShellError as exc:
            raise SnapshotFailed(f"the guest's network after it was put back: {exc}") from exc
        ways.adopt(shell)
        return shell
    serial = ways.serial.value() if ways.serial is not None else None
    if serial is None:
        raise SnapshotFailed("no shell was logged in when the guest was saved")
    return serial
