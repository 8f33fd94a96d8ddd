"""What a boot showed, as a value: stages with their times, findings, assertion results and the verdict.

A report is complete whether the machine passed or failed; renderers in `metallize.report` turn it into text,
JSON and JUnit XML, and nothing in it refers to QEMU.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One assertion, judged; `observed` says how it was seen: ssh, serial, host, console or qmp."""

    title: str
    kind: str
    holds: bool
    claims: tuple[Claim, ...] = ()
    observed: str = ""
    seconds: float = 0.0
    location: str = ""
    note: str = ""
    """For instance that it held only at a later attempt."""


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
    failure: Finding | None
    """What ended the boot, where it did not get to the end."""
    findings: tuple[Finding, ...]
    """Everything else worth saying, warnings included."""
    console_tail: tuple[str, ...]
    run_folder: Path
    ssh_port: int | None = None
    notes: tuple[str, ...] = ()
    """Choices and fallbacks a person should know of."""
    diagnosis: tuple[str, ...] = ()
    """What was collected over the serial shell to explain a failure."""
    sha256: str = ""
    """Of the image, where it was known before the boot."""
    started: str = ""
    """When the machine was switched on: ISO 8601, in UTC."""
    qemu: str = ""
    """QEMU's version."""

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    @property
    def failed_results(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if not result.holds)
