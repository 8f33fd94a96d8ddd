"""A release that cannot come up is installed, tried as often as it may be, and given up: the version before is back.

Nobody helps: from the restart that begins its first try on, the guest is only watched until the old system is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.kind import Claim, Observation
from metallize.model.report import Entry, Finding, Result
from metallize.model.update import Broken, Update
from metallize.qemu.vm import RunningGuest
from metallize.verify.boot import run_boot
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.phases import reboot, upkeep
from metallize.verify.phases.upkeep import State
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

_INSTALL = "update/install"
_ASKED = "update/restart"
_TRIED = "update/tried"
_BACK = "update/back"
_WRITTEN = "update/state"
_KEEP = "update/keep"
_SAYS = "update/says"
_STUCK = frozenset({"silent-console", "stage-timeout", "qemu-ended", "guest-shutdown", "host-disk-full"})
"""What no restart follows."""
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A broken release, where the guest finds it, and what it is called."""

    broken: Broken
    version: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """How often a system was started in vain, and what was seen of that."""

    count: int
    seen: tuple[Finding, ...] = ()
    why_no_more: str = ""
    """Empty: there was another start after each."""


def turn_of(broken: Broken) -> Turn:
    """What the entries of one such release are called by."""
    return Turn(name=f"broken-{broken}", suffix=f": a release with a broken {broken}")


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """Of each broken release: that it is installed, tried and given up, and that all is as before."""
    update = request.boot.update
    if update is None:
        return ()
    entries: list[Entry] = []
    for each in update.broken:
        turn = turn_of(each)
        entries += [
            turn.entry(f"{_INSTALL}/{number}", f"{update.engine} installs it", "update")
            for number, _ in enumerate(update.commands, start=1)
        ]
        entries += [
            turn.entry(_ASKED, "clean reboot", "reboot"),
            turn.entry(
                _TRIED, f"it is tried {update.tries} times" if update.tries > 1 else "it is tried once", "update"
            ),
            turn.entry(_BACK, "the version before is back", "update"),
            turn.entry(_WRITTEN, "what was written before is there", "update"),
            *(
                turn.entry(f"{_KEEP}/{number}", f"{path} is kept", "update")
                for number, path in enumerate(update.keep, start=1)
            ),
            turn.entry(_SAYS, "the guest says which version failed", "update"),
        ]
    return tuple(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """One such release on a machine that runs; `boot` is of the system that must come back."""

    offered: Offered
    update: Update
    boot: PreparedBoot
    checklist: Checklist
    state: State
    opened: Callable[[BootSession], BootSession]
    """Whoever opens a session hands it in, so that it is closed."""
    excused: set[int]
    """Grows by the numbers of what is found of a system that is meant to fail."""

    def run(self, before: BootSession) -> BootSession | None:
        """Go through it; the session of the system that is back, None where it is not. Raises GuestFailed."""
        shell = before.best_shell()
        if shell is None:
            return None
        installed = upkeep.install(before, shell, self._checked(), self.offered.url, self._entries(_INSTALL))
        self.checklist.settle(*installed)
        if not all(each.holds for each in installed):
            return None
        guest = before.guest
        known = len(guest.watch.findings)
        if reboot.restart(before, self._entry(_ASKED), self.checklist) is None:
            return None
        tries = watch_tries(guest, self.update.tries, self.boot.limit_seconds)
        self.excused.update(range(known, len(guest.watch.findings)))
        tried = judge_tries(self._entry(_TRIED), self.update.tries, tries)
        self.checklist.settle(tried)
        return self._come_back(guest) if tried.holds else None

    def _checked(self) -> Update:
        """The update whose command sees that this release is a newer one, and that something comes of it.

        Or it would not even be tried: what an engine takes for nothing new it leaves out, and ends well.
        """
        running, there = f"$({self.update.version_command})", f"$({self.update.installed_command})"
        newer = f'systemd-analyze compare-versions {self.offered.version} gt "{running}" >&2 || exit\nwas="{there}"\n'
        changed = f'\n[ "{there}" != "$was" ] || {{ echo nothing was installed >&2; exit 1; }}\n'
        return self.update.model_copy(
            update={"engine": None, "install": (newer + changed.join([*self.update.commands, ""]),)}
        )

    def _come_back(self, guest: RunningGuest) -> BootSession | None:
        turn = Turn(name=f"back-{self.offered.broken}", suffix=f" after a broken {self.offered.broken}")
        session = self.opened(self.boot.bare().session(guest, turn))
        session.from_position = guest.console.position
        back = self._entry(_BACK)
        try:
            run_boot(session)
        except GuestFailed as failed:
            cause = f"{failed.finding.rule}: {failed.finding.cause}"
            self.checklist.settle(back.judged(_claim("before", "up", cause, holds=False), observed="console"))
            return None
        wrong = next((each for each in session.results if not each.holds), None)
        shell = session.best_shell()
        if shell is None or wrong is not None:
            why = f"{wrong.title}: {wrong.status}" if wrong is not None else "no shell is logged in"
            self.checklist.settle(back.unseen(f"looked for the system before: {why}"))
            return None
        now = upkeep.read_state(session, shell, self.update)
        result = judge_back(back, self.state.version, now.version, shell.name)
        self.checklist.settle(result)
        upkeep.settle_kept(
            self.checklist, self._entry(_WRITTEN), self._entries(_KEEP), was=self.state, now=now, by=shell.name
        )
        said = upkeep.asked(session, shell, self.update.given_up_command)
        self.checklist.settle(judge_word(self._entry(_SAYS), self.offered.version, said, shell.name))
        return session if result.holds else None

    def _entry(self, id_: str) -> Entry:
        return self.checklist[f"{turn_of(self.offered.broken).name}/{id_}"]

    def _entries(self, place: str) -> tuple[Entry, ...]:
        start = f"{turn_of(self.offered.broken).name}/{place}/"
        return tuple(each for each in self.checklist.entries if each.id.startswith(start))


def watch_tries(guest: RunningGuest, tries: int, limit_seconds: float) -> Tries:
    """Wait for so many restarts of a system that cannot come up, each within the time; its failures end nothing."""
    watch, seen = guest.watch, list[Finding]()
    for number in range(tries):
        resets = watch.resets
        watch.expect_reset()
        guest.monitor.execute("query-rx-filter")  # as after each reset: or the network's next start is not told
        deadline = Deadline.after(limit_seconds, f"try {number + 1} to end")
        again = None
        while again is None and not deadline.expired:
            try:
                again = watch.wait(partial(_restarted, watch, resets), deadline)
            except GuestFailed as failed:
                seen.append(failed.finding)
                if failed.finding.rule in _STUCK:
                    why = f"try {number + 1} did not end in a restart: {failed.finding.cause}"
                    return Tries(count=number, seen=tuple(seen), why_no_more=why)
                watch.go_on()
        if again is None:
            why = f"try {number + 1} did not end in a restart within {limit_seconds:.0f} s"
            return Tries(count=number, seen=tuple(seen), why_no_more=why)
    watch.go_on()  # what the last try has shown is no failure of the system that comes now
    return Tries(count=tries, seen=tuple(seen))


def _restarted(watch: BootWatch, resets: int) -> bool | None:
    """Whether the machine has begun anew since it had done so many times; None while it has not."""
    return True if watch.resets > resets else None


def judge_tries(entry: Entry, wanted: int, tries: Tries) -> Result:
    """Each try must have ended in a restart; pure."""
    claim = _claim("restarts", str(wanted), str(tries.count), holds=tries.count == wanted)
    causes = dict.fromkeys(f"{each.rule}: {each.cause}" for each in tries.seen)
    shown = [*list(causes)[:_SHOWN], *([tries.why_no_more] if tries.why_no_more else [])]
    return entry.judged(claim, observed="qmp", note="\n".join(shown))


def judge_back(entry: Entry, before: str | None, after: str | None, observed: str) -> Result:
    """The version that runs is the one from before; pure."""
    if before is None or after is None:
        return entry.unseen("asked the system that came up for its version: no answer", observed=observed)
    return entry.judged(_claim("version", before, after, holds=before == after), observed=observed)


def judge_word(entry: Entry, version: str, said: Observation | None, observed: str) -> Result:
    """The machine says that this version has not come up; pure."""
    if said is None or said.status != 0:
        return entry.unseen("asked which versions were tried in vain: no answer", observed=observed)
    words = f"{version} has not come up"
    lines = said.stdout.splitlines()
    holds = any(line.startswith(words) for line in lines)
    return entry.judged(_claim("says", words, "; ".join(lines[-_SHOWN:]) or "nothing", holds=holds), observed=observed)


def _claim(attribute: str, expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute=attribute, expected=expected, actual=actual, holds=holds)
