"""What a boot showed, as a value: stages with their times, findings, assertion results and the verdict.

A report is complete whether the machine passed or failed; renderers in `metallize.report` turn it into text,
JSON and JUnit XML, and nothing in it refers to QEMU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from metallize.model.kind import Claim


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"


class Stage(StrEnum):
    """How far a guest got; the order is that of a boot."""

    QEMU = "qemu"
    FIRMWARE = "firmware"
    LOADER = "loader"
    KERNEL = "kernel"
    INITRD = "initrd"
    USERSPACE = "userspace"
    LOGIN = "login"
    READY = "ready"

    @property
    def rank(self) -> int:
        return list(Stage).index(self)


class Severity(StrEnum):
    """What a line of the console means for the boot."""

    FATAL = "fatal"
    """The boot has failed now."""
    STALL = "stall"
    """The boot has failed unless it gets further within a short grace."""
    FAULT = "fault"
    """The boot goes on, so that more can be learnt; it has failed all the same."""
    WARNING = "warning"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """A stage and when it began, in seconds since the machine was switched on."""

    stage: Stage
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was seen and explains the boot: which rule, at which stage, in which line, and what to do."""

    rule: str
    stage: Stage
    severity: Severity
    cause: str
    remedy: str = ""
    line: str = ""
    context: tuple[str, ...] = ()
    """The console's lines around it."""
    seconds: float = 0.0


class Status(StrEnum):
    """What is known of one thing that had to be shown."""

    HELD = "held"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The profile says so."""
    UNSEEN = "unseen"
    """Nobody saw whether it holds: that proves nothing, and so does not pass."""

    @property
    def good(self) -> bool:
        return self in (Status.HELD, Status.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One entry of the checklist and what became of it; `observed` says how: ssh, serial, host, console or qmp."""

    id: str
    """Stable from one verification to the next: `reboot/ssh/login`."""
    title: str
    kind: str
    phase: str
    """Which part of the verification settles it."""
    status: Status
    claims: tuple[Claim, ...] = ()
    observed: str = ""
    seconds: float = 0.0
    location: str = ""
    """Where the profile or the suite says so."""
    note: str = ""
    """For instance that it held only at a later attempt, or why nobody saw it."""

    @property
    def holds(self) -> bool:
        return self.status.good


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that will be judged, known before the machine is switched on."""

    id: str
    title: str
    kind: str
    phase: str
    location: str = ""

    def judged(
        self, *claims: Claim, observed: str = "", seconds: float = 0.0, note: str = "", location: str = ""
    ) -> Result:
        """By claims: it holds where all of them do. What claims nothing is unseen, and so is what nobody could see."""
        return Result(
            id=self.id,
            title=self.title,
            kind=self.kind,
            phase=self.phase,
            status=_status(claims),
            claims=claims,
            observed=observed,
            seconds=round(seconds, 3),
            location=location or self.location,
            note=note,
        )

    def unseen(self, why: str, *, observed: str = "", seconds: float = 0.0) -> Result:
        """Nobody could see it: what was tried, and why no answer came."""
        return replace(self.judged(observed=observed, seconds=seconds, note=why), status=Status.UNSEEN)

    def skipped(self, why: str) -> Result:
        """The profile says to leave it out."""
        return replace(self.judged(note=why), status=Status.SKIPPED)


def _status(claims: Sequence[Claim]) -> Status:
    if not claims:
        return Status.UNSEEN
    if any(not claim.holds and not claim.unseen for claim in claims):
        return Status.FAILED
    if any(not claim.holds for claim in claims):
        return Status.UNSEEN
    return Status.SKIPPED if all(claim.skipped for claim in claims) else Status.HELD


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorUse:
    """Which accelerator ran the guest, why, and how slow it measured (1.0: a host of normal speed)."""

    name: str
    cpu: str
    reason: str
    slowness: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BootReport:
    """One machine's boot of one image, judged."""

    machine: str
    image: Path
    media: str
    verdict: Verdict
    stage: Stage
    """The last stage that was reached."""
    seconds: float
    """From power-on to the verdict."""
    accelerator: AcceleratorUse
    stages: tuple[StageTime, ...]
    results: tuple[Result, ...]
    """Every entry of the checklist, in its order."""
    failure: Finding | None
    """What ended the boot, where it did not get to the end."""
    findings: tuple[Finding, ...]
    """Everything else worth saying, warnings included."""
    console_tail: tuple[str, ...]
    run_folder: Path
    ssh_port: int | None = None
    notes: tuple[str, ...] = ()
    """Choices and fallbacks a person should know of."""
    sha256: str = ""
    """Of the image, where it was known before the boot."""
    started: str = ""
    """When the machine was switched on: ISO 8601, in UTC."""
    clock: str = ""
    """What the guest's clock went by: `instructions`, or nothing where it was the host's time."""
    qemu: str = ""
    """QEMU's version."""
    rest_seconds: float | None = None
    """When, since power-on, everything that was asked had answered and the end of the boot began (`boot.settle`, and a
    second look at the system); None where it did not come to that."""
    listening: tuple[str, ...] | None = None
    """Ports that the guest listened on at the end of the boot, as tcp:22; None where nobody has seen it."""

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    @property
    def failed_results(self) -> tuple[Result, ...]:
        """Those that keep the boot from passing: what failed first, then what nobody saw."""
        wrong = [result for result in self.results if not result.holds]
        return tuple(sorted(wrong, key=lambda result: result.status is Status.UNSEEN))
