"""The course of one verification: one boot after another of the same disk, and the report of them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from metallize.errors import HostError
from metallize.guest import GuestFailed
from metallize.model.kind import Claim
from metallize.model.report import BootReport, Finding, Result, Severity, StageTime, Verdict
from metallize.qemu.vm import RunningGuest
from metallize.verify import reboot
from metallize.verify.actions import run_actions
from metallize.verify.prepared import PreparedBoot
from metallize.verify.session import BootSession

TAIL_LINES = 20


@dataclass(slots=True, kw_only=True)
class Course:
    """What was seen so far; `session` is the boot that goes on, or that was the last."""

    boot: PreparedBoot
    notes: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    """Of the boots before the last."""
    stages: tuple[StageTime, ...] = ()
    """Of the first boot, once another has begun."""
    failure: Finding | None = None
    session: BootSession | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

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

    def report(self) -> BootReport:
        """The verdict over everything, while the guest still runs."""
        session = self.last()
        guest, watch = session.guest, session.guest.watch
        request = self.boot.request
        seconds = watch.seconds
        findings = watch.findings
        results = [*self.results, *session.results]
        if self.failure is None:
            results += console_results(request.boot.console.require, watch.missing)
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
            console_tail=guest.console.tail(TAIL_LINES),
            run_folder=self.boot.folder,
            ssh_port=guest.forwards.get(22),
            notes=tuple(dict.fromkeys([*self.notes, *session.notes])),
            diagnosis=tuple(session.diagnosis),
            sha256=request.sha256,
            started=self.started.isoformat(timespec="seconds"),
            qemu=guest.monitor.version,
        )

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
        self.failure = finding


def console_results(required: tuple[str, ...], missing: tuple[str, ...]) -> list[Result]:
    """console.require against what no line has shown."""
    return [
        Result(
            title=f"console shows /{pattern}/",
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
