"""A machine with the release before becomes one with this image, and everything must hold then.

The old image is booted on a machine of its own, while the first one is off: state is written, broken releases are
installed of which it must come back by itself, then the update; the guest is started again and judged as the new image
was. What it says of its version must be what the new image says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metallize.deadline import Deadline
from metallize.files.parts import Part
from metallize.guest import GuestFailed
from metallize.model.kind import Claim, Observation
from metallize.model.report import Entry, Result, Severity, Status
from metallize.model.update import Tamper, Update
from metallize.patience import UPDATE_DRAIN as DRAIN_SECONDS
from metallize.qemu.slots.update import Window
from metallize.qemu.vm import RunningGuest
from metallize.verify.boot import run_boot
from metallize.verify.checklist import AFTER_UPDATE, Checklist, Turn
from metallize.verify.phases import reboot, rollback, update_cuts, upkeep
from metallize.verify.phases.rollback import Offered, Rollback
from metallize.verify.phases.upkeep import State
from metallize.verify.prepared import PreparedBoot
from metallize.verify.refusing import index
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

FOLDER = "update"
"""Of the run folder: the console, the arguments and the logs of the machine that is updated."""
BEFORE = Turn(name="before-update", suffix=" before the update")
_READY = "update/before"
_INSTALL = "update/install"
_WRITTEN = "update/state"
_KEEP = "update/keep"
_VERSION = "update/version"
_DOWNGRADE = f"update/{Tamper.DOWNGRADE}"
_GUEST = "update/guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Where the guest finds what it is offered; an empty URL is no place."""

    url: str = ""
    """Of the update itself."""
    broken: tuple[Offered, ...] = ()
    older: str = ""
    index: index.Offer | None = None
    label: str = ""
    """NAME_VERSION of the update, and its parts."""
    parts: tuple[Part, ...] = ()


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """The system before, what is installed on it, the whole boot after that, and what must be new and what not."""
    update = request.boot.update
    if update is None or request.refusal is not None:
        return ()
    turn = AFTER_UPDATE
    commands = enumerate(update.commands, start=1)
    return (
        turn.entry(_READY, "the release before comes up, so that it can be updated:", "update"),
        *index.plan(request),
        *rollback.plan(request),
        *(turn.entry(f"{_INSTALL}/{number}", _title(number, update), "update") for number, _ in commands),
        *reboot.plan(request, turn),
        turn.entry(_VERSION, "the version is that of this image", "update"),
        turn.entry(_WRITTEN, "what was written before is there", "update"),
        *(
            turn.entry(f"{_KEEP}/{number}", f"{path} is kept", "update")
            for number, path in enumerate(update.keep, start=1)
        ),
        *(
            (turn.entry(_DOWNGRADE, "a release with a lower version is not installed", "update"),)
            if Tamper.DOWNGRADE in update.tamper
            else ()
        ),
        turn.entry(_GUEST, "the guest goes on", "update"),
        *update_cuts.plan(request),
    )


def _title(number: int, update: Update) -> str:
    if update.engine is not None:
        return f"{update.engine} installs the update"
    first = update.commands[number - 1].strip().splitlines()[0]
    return f"install: {first}"


@dataclass(slots=True, kw_only=True)
class Updating:
    """One machine's update; `version` is what the new image says of its own."""

    update: Update
    boot: PreparedBoot
    """Of the old image, with all that is asked of the new one."""
    checklist: Checklist
    version: str | None
    offers: Offers = field(default_factory=Offers)
    notes: list[str] = field(default_factory=list)
    began: State | None = None
    """What the machine was before it was updated."""
    window: Window | None = None
    """Where in the log of its writes the update is; None where there is no log, or it came to no end."""
    _sessions: list[BootSession] = field(default_factory=list)
    _excused: set[int] = field(default_factory=set)
    """Numbers of findings of systems that were meant to fail."""

    def run(self, guest: RunningGuest) -> None:
        """Go through it on a guest that has just been switched on; what fails is settled, and ends it."""
        try:
            before = self._opened(self.boot.bare().session(guest, BEFORE))
            state = self._prepared(before)
            if state is not None and not self._refused(before):
                return
            ready = self._rolled_back(before, state) if state is not None else None
            begin = self._logged()
            if state is None or ready is None or not self._install(ready):
                return
            after = self._opened(self.boot.session(guest, AFTER_UPDATE, self.checklist))
            reboot.reboot(ready, after)
            self.began = state
            self.window = Window(begin_bytes=begin, end_bytes=self._logged()) if begin else None
            self._judge(after, state)
            self._conclude(after)
        except GuestFailed as failed:
            self._failed(failed)
        finally:
            for session in self._sessions:
                self.notes += session.notes
                session.end()
                session.close()

    def cut(self) -> bool:
        """What would have become of it had its power gone meanwhile, once the machine is off; False where it failed.

        Raises HostError or CommandError where nobody can look.
        """
        if self.update.power_cuts is None:
            return True
        if self.began is None or self.window is None or self.version is None or not self.checklist.holds_so_far:
            return False
        update_cuts.Cuts(
            update=self.update, boot=self.boot, checklist=self.checklist, window=self.window, url=self.offers.url,
            new=update_cuts.new_system(self.offers.parts, self.offers.label), version=self.version, before=self.began,
            notes=self.notes,
        ).run()  # fmt: skip
        return True

    def _logged(self) -> int:
        """The size of the log of what the guest wrote; 0 where there is none."""
        log = self.boot.plan.write_log if self.update.power_cuts is not None else None
        return log.stat().st_size if log is not None else 0

    def _opened(self, session: BootSession) -> BootSession:
        """A session that is closed at the end."""
        self._sessions.append(session)
        return session

    def _prepared(self, before: BootSession) -> State | None:
        """The old system is up and has state; None where it does not come to that."""
        ready = self._entry(_READY)
        run_boot(before)
        wrong = next((each for each in before.results if not each.holds), None)
        shell = before.best_shell()
        if shell is None or wrong is not None:
            why = f"{wrong.title}: {wrong.status}" if wrong is not None else "no shell is logged in"
            self.checklist.settle(ready.unseen(f"booted {self.boot.request.image.name}: {why}"))
            return None
        state, why = upkeep.write_state(before, shell, self.update)
        if state is None:
            self.checklist.settle(ready.unseen(f"asked the system before for its version: {why}", observed=shell.name))
            return None
        up = _claim("before", "up", f"up, version {state.version}", holds=True)
        self.checklist.settle(ready.judged(up, observed=shell.name))
        return state

    def _refused(self, before: BootSession) -> bool:
        """The machine has left what was tampered with, where that is asked for."""
        offer = self.offers.index
        return offer is None or index.run(before, self.update, offer, self.checklist)

    def _rolled_back(self, before: BootSession, state: State) -> BootSession | None:
        """The machine has come back of each broken release; None where it has not."""
        ready = before
        for each in self.offers.broken:
            back = Rollback(
                offered=each, update=self.update, boot=self.boot, checklist=self.checklist, state=state,
                opened=self._opened, excused=self._excused,
            ).run(ready)  # fmt: skip
            if back is None:
                return None
            ready = back
        return ready

    def _install(self, before: BootSession) -> bool:
        shell = before.best_shell()
        if shell is None:
            return False
        results = upkeep.install(before, shell, self.update, self.offers.url, self._entries(_INSTALL))
        self.checklist.settle(*results)
        return all(each.holds for each in results)

    def _judge(self, after: BootSession, before: State) -> None:
        """The updated system against the one before, and against the new image."""
        shell = after.best_shell()
        if shell is None:
            return
        now, by = upkeep.read_state(after, shell, self.update, last=True), shell.name
        entry = after.entry(_VERSION)
        self.checklist.settle(judge_version(entry, before.version or "", now.version, self.version, by))
        upkeep.settle_kept(self.checklist, after.entry(_WRITTEN), self._entries(_KEEP), was=before, now=now, by=by)
        if self.offers.older:
            there = upkeep.asked(after, shell, self.update.installed_command)
            [done] = upkeep.install(after, shell, self.update, self.offers.older, [after.entry(_DOWNGRADE)])
            then = upkeep.asked(after, shell, self.update.installed_command)
            self.checklist.settle(judge_untouched(after.entry(_DOWNGRADE), there, done, then, by))

    def _conclude(self, after: BootSession) -> None:
        watch = after.guest.watch
        goes_on = after.entry(_GUEST)
        pending = watch.drain(Deadline.after(DRAIN_SECONDS * watch.slowness, "what may yet be a failure"))
        watch.check()
        found = [each for number, each in enumerate(watch.findings) if number not in self._excused]
        faults = [each for each in found if each.severity is Severity.FAULT]
        if pending:
            self.checklist.settle(goes_on.unseen(f"waited for what may yet be a failure: {'; '.join(pending)}"))
            return
        claims = [_claim("guest", "no failure", f"{each.rule}: {each.cause}", holds=False) for each in faults]
        none = _claim("guest", "no failure", "none", holds=True)
        self.checklist.settle(goes_on.judged(*(claims or [none]), observed="console"))

    def _failed(self, failed: GuestFailed) -> None:
        finding = failed.finding
        goes_on = self._entry(_GUEST)
        if self.checklist.is_settled(goes_on.id):
            return
        claim = _claim("guest", "no failure", f"{finding.rule}: {finding.cause}", holds=False)
        self.checklist.settle(goes_on.judged(claim, observed="console", note="\n".join(finding.context[-5:])))

    def _entry(self, id_: str) -> Entry:
        return self.checklist[f"{AFTER_UPDATE.name}/{id_}"]

    def _entries(self, place: str) -> tuple[Entry, ...]:
        start = f"{AFTER_UPDATE.name}/{place}/"
        return tuple(each for each in self.checklist.entries if each.id.startswith(start))


def ask_version(session: BootSession, update: Update) -> str | None:
    """What the new image says of its version, on a machine that has never been another; None for no answer.

    Raises GuestFailed.
    """
    shell = session.best_shell()
    if shell is None:
        return None
    return upkeep.line_of(upkeep.asked(session, shell, update.version_command))


def judge_version(entry: Entry, before: str, after: str | None, wanted: str | None, observed: str) -> Result:
    """The updated system's version is another than before, and the new image's; pure."""
    if after is None or wanted is None:
        who = "the updated system" if after is None else "the new image"
        return entry.unseen(f"asked {who} for its version: no answer", observed=observed)
    return entry.judged(
        _claim("version", f"other than {before}", after, holds=after != before),
        _claim("version", f"{wanted}, as the new image says", after, holds=after == wanted),
        observed=observed,
    )


def judge_untouched(
    entry: Entry, before: Observation | None, done: Result, after: Observation | None, observed: str
) -> Result:
    """Nothing that was there has changed, whether the engine says so or goes over it; pure."""
    if before is None or after is None or before.status != 0 or after.status != 0:
        return entry.unseen(
            "looked at what is installed, before it was offered and after: no answer", observed=observed
        )
    if done.status is Status.UNSEEN:
        return done
    return entry.judged(index.untouched(before, after), observed=observed, note=done.note)


def _claim(attribute: str, expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute=attribute, expected=expected, actual=actual, holds=holds)
