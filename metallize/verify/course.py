"""The course of one verification: one boot after another of the same disk, and the report of them all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from metallize.errors import HostError
from metallize.guest import GuestFailed
from metallize.model.kind import Claim
from metallize.model.report import BootReport, Finding, Result, Severity, StageTime, Verdict
from metallize.qemu.filesystems import check_filesystems
from metallize.qemu.netboot import fetched
from metallize.qemu.vm import RunningGuest
from metallize.shells.answer import is_chatter
from metallize.verify.phases import power_cut, reboot
from metallize.verify.phases.actions import run_actions
from metallize.verify.phases.groups import Groups
from metallize.verify.phases.power_cut import Cut
from metallize.verify.prepared import PreparedBoot
from metallize.verify.session import BootSession

TAIL_LINES = 20
LOOKED_AT_LINES = 1000
"""So far back: the answer to a long script over the serial port may be all that was printed last."""


@dataclass(slots=True, kw_only=True)
class Course:
    """What was seen so far; `session` is the boot that goes on, or that was the last."""

    boot: PreparedBoot
    notes: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    """Of the boots before the last."""
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

    def first_boot(self, guest: RunningGuest) -> None:
        """Judge a guest that has just been switched on, and what the profile asks of it beyond."""
        self.session = self.boot.session(guest)
        try:
            self.session.run()
            if self.session.ready_seconds is not None:
                run_actions(self.session)
            if self.boot.request.boot.reboot and self.boot.request.refusal is None:
                before = self._next()
                self.session = self.boot.session(guest, suffix=reboot.SUFFIX)
                reboot.reboot(before, self.session)
            guest.watch.check()
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
        except GuestFailed as failed:
            self._failed(failed.finding)
            return None
        if isinstance(cut, Result):
            session.results.append(cut)
            return None
        session.results += console_results(self.boot.request.boot.console.require, watch.missing)
        self._next()
        self.findings += watch.findings
        self.seconds += watch.seconds
        self.notes.append(cut.note)
        return cut

    def look_at_disk(self, cut: Cut) -> None:
        """The filesystems as the cut left them, while the machine is off."""
        self.last().close()
        if cut.records is not None:
            checked = check_filesystems(self.boot.plan, self.boot.folder)
            self.results += power_cut.judge_filesystems(checked)

    def boot_after(self, cut: Cut, guest: RunningGuest) -> None:
        """The same disk with its power back."""
        self.session = session = self.boot.session(guest, suffix=power_cut.SUFFIX)
        try:
            session.run()
            shell = session.best_shell()
            if shell is not None:
                session.results += power_cut.judge_survivor(cut, session, shell)
            guest.watch.check()
        except GuestFailed as failed:
            self._failed(failed.finding)

    def run_groups(self) -> bool:
        """The groups of the profile, on the guest that is ready; whether some are left for `run_groups_cold`."""
        groups = self.boot.request.groups
        if not groups or self.boot.request.refusal is not None:
            return False
        session = self.last()
        shell = session.best_shell()
        if not self._passes() or shell is None:
            self.notes.append("the groups were not run: the boot before them did not pass")
            return False
        session.collect(shell)
        self.groups = Groups(session=session, left=groups, results=self.results, notes=self.notes)
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
        """The verdict over everything, while the guest still runs."""
        session = self.last()
        guest, watch = session.guest, session.guest.watch
        request = self.boot.request
        seconds = self.seconds + watch.seconds
        findings = (*self.findings, *watch.findings)
        results = [*self.results, *session.results]
        if self.failure is None:
            suffix = power_cut.SUFFIX if self.seconds else ""
            results += console_results(request.boot.console.require, watch.missing, suffix=suffix)
        faults = [finding for finding in findings if finding.severity is Severity.FAULT]
        holds = self.failure is None and not faults and all(result.holds for result in results)
        if session.ready_seconds is None and self.failure is None:
            holds = False
        return BootReport(
            machine=request.machine_entry,
            image=request.image,
            media=guest.plan.media,
            verdict=Verdict.PASSED if holds else Verdict.FAILED,
            stage=watch.stage,
            seconds=round(seconds, 3),
            accelerator=self.boot.accelerator,
            stages=self.stages if self.stages and self.failure is None else watch.stages,
            results=tuple(results),
            failure=self.failure,
            findings=findings,
            console_tail=_telling(guest.console.tail(LOOKED_AT_LINES)),
            run_folder=self.boot.folder,
            ssh_port=guest.forwards.get(22),
            notes=tuple(dict.fromkeys([*self.notes, *session.notes, *fetched(guest.plan.web)])),
            diagnosis=tuple(session.diagnosis),
            sha256=request.sha256,
            started=self.started.isoformat(timespec="seconds"),
            qemu=guest.monitor.version,
        )

    def _passes(self) -> bool:
        """Whether nothing has gone wrong so far."""
        session = self.last()
        findings = (*self.findings, *session.guest.watch.findings)
        faults = any(finding.severity is Severity.FAULT for finding in findings)
        seen = (*self.results, *session.results)
        return self.failure is None and not faults and all(result.holds for result in seen)

    def last(self) -> BootSession:
        """The boot that goes on, or that was the last."""
        if self.session is None:
            raise AssertionError("nothing was booted yet")
        return self.session

    def _next(self) -> BootSession:
        """The boot that is over: what it showed is kept, and another may begin."""
        before = self.last()
        self.stages = self.stages or before.guest.watch.stages
        self.results += before.results
        self.notes += before.notes
        return before

    def _failed(self, finding: Finding) -> None:
        if finding.rule == "host-disk-full":
            raise HostError(finding.cause, hint=f"make room where {self.boot.folder} is")
        parts = (self.last().suffix.strip(), self.flaw, finding.cause)
        self.failure = replace(finding, cause=": ".join(part for part in parts if part))


def _telling(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The last lines that the guest printed by itself; pure."""
    return tuple(line for line in lines if not is_chatter(line))[-TAIL_LINES:]


def console_results(required: tuple[str, ...], missing: tuple[str, ...], *, suffix: str = "") -> list[Result]:
    """console.require against what no line has shown."""
    return [
        Result(
            title=f"console shows /{pattern}/{suffix}",
            kind="console",
            holds=pattern not in missing,
            claims=(
                Claim(
                    attribute="line",
                    expected=f"/{pattern}/",
                    actual="no such line" if pattern in missing else "seen",
                    holds=pattern not in missing,
                ),
            ),
            observed="console",
        )
        for pattern in required
    ]
