"""The course of one verification: one boot after another of the same disk, their end, and the report of them all.

The end is a phase of its own: what is pending is waited out, the verdict is fixed, every thread hears of it and is
ended, and only then is evidence collected, over what is left.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import GuestFailed
from metallize.model.report import BootReport, Entry, Finding, Severity, StageTime, Verdict
from metallize.patience import COURSE_DRAIN as DRAIN_SECONDS
from metallize.qemu.moments import disks_at
from metallize.qemu.netboot import fetched
from metallize.qemu.plan import COUNTED_CLOCK
from metallize.qemu.vm import RunningGuest
from metallize.shells.answer import is_chatter
from metallize.verify.boot import plan_boot, run_boot
from metallize.verify.checklist import AFTER_POWER_CUT, AFTER_REBOOT, FIRST, Checklist, Turn
from metallize.verify.evidence import answers_still, take_screenshot, write_diagnosis
from metallize.verify.phases import console, groups, power_cut, reboot, tamper, update
from metallize.verify.phases.groups import Groups
from metallize.verify.phases.power_cut import Cut
from metallize.verify.phases.update import Offers
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from metallize.verify.why.download import with_download
from metallize.verify.why.rescue import rescue

TAIL_LINES = 20
LOOKED_AT_LINES = 1000
"""So far back: the answer to a long script over the serial port may be all that was printed last."""


def plan_course(request: VerifyRequest) -> tuple[Entry, ...]:
    """The checklist of a verification: everything that will be judged, before the machine is switched on. Pure."""
    boot = request.boot
    entries = [*plan_boot(request, FIRST)]
    if request.refusal is not None:
        return (*entries, *console.plan(request, FIRST))
    if boot.reboot:
        entries += reboot.plan(request)
    entries += console.plan(request, FIRST)
    if boot.power_cut is not None:
        entries += [*power_cut.plan(request), *console.plan(request, AFTER_POWER_CUT)]
        entries += [each for turn in power_cut.moments_of(request) for each in console.plan(request, turn)]
    return (*entries, *groups.plan(request), *update.plan(request), *tamper.plan(request))


@dataclass(slots=True, kw_only=True)
class Course:
    """What was seen so far; `session` is the boot that goes on, or that was the last."""

    boot: PreparedBoot
    notes: list[str] = field(default_factory=list)
    stages: tuple[StageTime, ...] = ()
    """Of the first boot, once another has begun."""
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    """Findings and time of the machines that were switched off already."""
    failure: Finding | None = None
    session: BootSession | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    groups: Groups | None = None
    flaw: str = ""
    """What is wrong with the image's file, as can be seen without booting it; it explains whatever fails."""
    version: str | None = None
    """What the image says of its version, where `boot.update` compares that."""
    checklist: Checklist = field(init=False)
    diagnosis: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checklist = Checklist(plan_course(self.boot.request))

    def first_boot(self, guest: RunningGuest) -> None:
        """Judge a guest that has just been switched on, and what the profile asks of it beyond."""
        self.session = self._begin(guest, FIRST)
        try:
            run_boot(self.session)
            if self.boot.request.boot.reboot and self.boot.request.refusal is None:
                before = self._next()
                self.session = self._begin(guest, AFTER_REBOOT)
                reboot.reboot(before, self.session)
            self._conclude(FIRST)
        except GuestFailed as failed:
            self._failed(failed.finding)

    def cut_power(self) -> Cut | None:
        """Bring the guest to the moment at which its plug is pulled; None where it is not to be, or cannot be."""
        options = self.boot.request.boot.power_cut
        if options is None or self.boot.request.refusal is not None:
            return None
        session = self.last()
        watch = session.guest.watch
        shell = session.best_shell()
        if not self._passes() or shell is None:
            self.notes.append("the power was not cut: the boot before it did not pass")
            return None
        session.collect(shell)
        try:
            cut = power_cut.prepare(options, session, shell)
            watch.check()
        except GuestFailed as failed:
            self._failed(failed.finding)
            return None
        if cut is None:
            return None
        self._over()
        self.notes.append(cut.note)
        return cut

    def look_at_disk(self, cut: Cut) -> None:
        """The filesystems as the cut left them, while the machine is off."""
        self.last().close()
        options = self.boot.request.boot.power_cut
        if options is not None:
            power_cut.settle_while_off(cut, options, self.checklist, self.boot.plan, self.boot.folder)

    def moments(self, cut: Cut) -> Generator[tuple[Turn, PreparedBoot]]:
        """The disk at other moments at which its power might have gone, each with the boot that is to be made of it."""
        options, turns = self.boot.request.boot.power_cut, power_cut.moments_of(self.boot.request)
        if options is None or not turns:
            return
        if cut.records is None:  # a live system keeps nothing: each is a plain boot
            yield from ((turn, self.boot.unlogged()) for turn in turns)
            return
        with disks_at(self.boot.plan, self.boot.folder, options.moments, cut.seed, len(turns)) as disks:
            for turn, disk in zip(turns, disks, strict=False):
                self.notes.append(f"{turn.suffix.strip()}: the disk {disk.cut}")
                yield turn, replace(self.boot, plan=disk.plan)

    def boot_at(self, turn: Turn, guest: RunningGuest) -> bool:
        """Judge a guest with such a disk, and leave it; False where it failed, and is not left."""
        self.session = session = self._begin(guest, turn)
        try:
            run_boot(session)
            self._conclude(turn)
        except GuestFailed as failed:
            self._failed(failed.finding)
        if not self._passes():
            return False
        self._over()
        session.close()
        return True

    def boot_after(self, cut: Cut, guest: RunningGuest) -> None:
        """The same disk with its power back."""
        self.session = session = self._begin(guest, AFTER_POWER_CUT)
        try:
            run_boot(session)
            power_cut.judge_survivor(cut, session)
            self._conclude(AFTER_POWER_CUT)
        except GuestFailed as failed:
            self._failed(failed.finding)

    def ask_version(self) -> bool:
        """What the image says of its own version, before anything is done to the guest; whether it is to be updated to.

        Only one that has passed so far is.
        """
        options = self.boot.request.boot.update
        if options is None or self.boot.request.refusal is not None:
            return False
        if not self._passes():
            self.notes.append("nothing was updated to this image: its own boot did not pass")
            return False
        try:
            self.version = update.ask_version(self.last(), options)
        except GuestFailed as failed:
            self._failed(failed.finding)
            return False
        return True

    def update(self, boot: PreparedBoot, offers: Offers) -> None:
        """Update a machine with the release before, which `boot` has, once the machine that was ready is off."""
        options = boot.request.boot.update
        if options is None:
            raise AssertionError("no update is asked for")
        self.last().close()
        done = update.Updating(
            update=options, boot=boot, checklist=self.checklist, version=self.version, offers=offers, notes=self.notes
        )
        with boot.switched_on() as guest:
            done.run(guest)
        if not done.cut():
            self.notes.append("no power was cut during the update: it did not pass")

    def boot_tampered(self) -> None:
        """The image with each change that `boot.tamper` names, once the machine that was ready is off."""
        if not self._passes():
            self.notes.append("nothing was tampered with: the boot of the image as it is did not pass")
            return
        self.last().close()
        tamper.run(self.boot, self.checklist)

    def run_groups(self) -> bool:
        """The groups of the profile, on the guest that is ready; whether some are left for `run_groups_cold`."""
        wanted = self.boot.request.groups
        if not wanted or self.boot.request.refusal is not None:
            return False
        session = self.last()
        shell = session.best_shell()
        if not self._passes() or shell is None:
            self.notes.append("the groups were not run: the boot before them did not pass")
            return False
        session.collect(shell)
        self.groups = Groups(session=session, left=wanted, notes=self.notes)
        try:
            self.groups.from_snapshot(shell)
        except GuestFailed as failed:
            self._failed(failed.finding)
        return bool(self.groups.left) and self.failure is None

    def run_groups_cold(self) -> None:
        """Those that are left, once the plug of the machine that was ready is pulled."""
        self.last().close()
        if self.groups is not None:
            self.groups.from_cold(self.boot)

    def report(self) -> BootReport:
        """The verdict over everything; from now on nothing changes it, and no thread of this verification goes on.

        Raises BugError where a thread died of one: whatever was seen since proves nothing.
        """
        session = self.last()
        guest, watch = session.guest, session.guest.watch
        request = self.boot.request
        seconds = self.seconds + watch.seconds
        findings = (*self.findings, *watch.findings)
        passed = self.failure is None and self.checklist.passed and not _faults(findings)
        left = session.end()
        watch.check_threads()
        results = self.checklist.results(self._why_unseen())
        self.notes += [f"a thread of ours did not end: {name}" for name in left]
        if not passed:
            watch.ending()  # what it does now is no further failure; of one that passed a test may yet ask more
        return BootReport(
            machine=request.machine_entry,
            image=request.image,
            media=guest.plan.media,
            verdict=Verdict.PASSED if passed else Verdict.FAILED,
            stage=watch.stage,
            seconds=round(seconds, 3),
            accelerator=self.boot.accelerator,
            stages=self.stages if self.stages and self.failure is None else watch.stages,
            results=results,
            failure=self.failure,
            findings=findings,
            console_tail=_telling(guest.console.tail(LOOKED_AT_LINES)),
            run_folder=self.boot.folder,
            ssh_port=guest.forwards.get(22),
            notes=tuple(dict.fromkeys([*self.notes, *session.notes, *fetched(guest.plan.web)])),
            sha256=request.sha256,
            started=self.started.isoformat(timespec="seconds"),
            clock=COUNTED_CLOCK if guest.plan.counts else "",
            qemu=guest.monitor.version,
            rest_seconds=session.rest_seconds,
            listening=session.listening,
        )

    def with_evidence(self, report: BootReport) -> BootReport:
        """Collect what the guest can still tell: the verdict stands, whatever happens from now on."""
        session, failure = self.last(), report.failure
        guest = session.guest
        write_diagnosis([*self.diagnosis, *session.ways.diagnosis], guest.folder)
        if not guest.console.alive:
            return report  # it is switched off already
        take_screenshot(guest)
        shell = session.best_shell() if failure is None or answers_still(report.stage, failure) else None
        if shell is not None and (not report.passed or not session.collected):
            session.collect(shell)
        login = session.request.boot.login
        note = rescue(guest.console, guest.watch, guest.folder, failure, login=login, slowness=session.slowness)
        if failure is not None:
            report = replace(report, failure=with_download(failure, guest.folder))
        return report if note is None else replace(report, notes=(*report.notes, note))

    def last(self) -> BootSession:
        """The boot that goes on, or that was the last."""
        if self.session is None:
            raise AssertionError("nothing was booted yet")
        return self.session

    def _begin(self, guest: RunningGuest, turn: Turn) -> BootSession:
        return self.boot.session(guest, turn, self.checklist)

    def _conclude(self, turn: Turn) -> None:
        """The end of the boots of one machine: what is pending is waited out. Raises GuestFailed."""
        session = self.last()
        watch = session.guest.watch
        limit = Deadline.after(DRAIN_SECONDS * watch.slowness, "what may yet prove to be a failure")
        console.settle(session, turn, limit)

    def _passes(self) -> bool:
        """Whether nothing has gone wrong so far."""
        findings = (*self.findings, *self.last().guest.watch.findings)
        return self.failure is None and not _faults(findings) and self.checklist.holds_so_far

    def _next(self) -> BootSession:
        """The boot that is over: what it showed is kept, and another may begin."""
        before = self.last()
        self.stages = self.stages or before.guest.watch.stages
        self.notes += before.notes
        self.diagnosis += before.ways.diagnosis
        return before

    def _over(self) -> None:
        """The same of a boot whose machine is switched off."""
        watch = self._next().guest.watch
        self.findings += watch.findings
        self.seconds += watch.seconds

    def _failed(self, finding: Finding) -> None:
        if finding.rule == "host-disk-full":
            raise HostError(finding.cause, hint=f"make room where {self.boot.folder} is")
        parts = (self.last().turn.suffix.strip(), self.flaw, finding.cause)
        self.failure = replace(finding, cause=": ".join(part for part in parts if part))

    def _why_unseen(self) -> str:
        if self.failure is not None:
            return f"nobody came to look at it: the boot had failed ({self.failure.cause})"
        return "nobody came to look at it: see what failed before it"


def _faults(findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity is Severity.FAULT for finding in findings)


def _telling(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The last lines that the guest printed by itself; pure."""
    return tuple(line for line in lines if not is_chatter(line))[-TAIL_LINES:]
