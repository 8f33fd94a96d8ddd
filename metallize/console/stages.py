"""How long a stage of a boot may last, and how long it may print nothing: pure decisions over what was seen.

All times are in seconds on a host of normal speed; the measured slowness of the host stretches each of them, but for
the time in which the guest waits and has no work: a timer of its own runs as fast on every host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from metallize.model.report import Stage
from metallize.patience import STAGES_JOB_GRACE as JOB_GRACE_SECONDS

SILENCE_SECONDS: Mapping[Stage, float] = {
    Stage.QEMU: 30.0,
    Stage.FIRMWARE: 30.0,
    Stage.LOADER: 60.0,
    Stage.KERNEL: 60.0,
    Stage.INITRD: 90.0,
    Stage.USERSPACE: 120.0,
}
"""How long each stage may print nothing."""
STAGE_SECONDS: Mapping[Stage, float] = {
    Stage.FIRMWARE: 60.0,
    Stage.LOADER: 90.0,
    Stage.KERNEL: 120.0,
    Stage.INITRD: 150.0,
    Stage.USERSPACE: 270.0,
}
"""How long each stage may last in a boot that may take NORMAL_TIMEOUT; a longer boot.timeout stretches them too.

From the login prompt on it is whoever logs in and observes that has a deadline: a guest may wait there for ever.
"""
NORMAL_TIMEOUT = 300.0
_JOB = re.compile(r"^(?>.*?A (?:start|stop) job is running for )(.+)|Job (\S+)/[\w-]+ running$")
"""As systemd shows a unit with a description, and one with none, before its times."""
_HANDED_OVER = re.compile(r"^Booting from \S.*\.\.\.$|^BdsDxe: starting Boot[0-9A-F]{4} ")
"""SeaBIOS, src/boot.c: boot_disk and boot_cdrom; EDK II, BdsDxe."""
_TOOK_BACK = re.compile(r"Boot failed: |No bootable device|BdsDxe: failed to ")
LAST_LINE_CHARACTERS = 120
_SPAN = re.compile(r"(?<!\d)(\d+(?:\.\d+)?) ?(y|month|w|d|h|min|ms|us|s)(?![a-z])")
_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that systemd shows to be running: `[ *** ] (1 of 2) A start job is running for X (5s / 1min 30s)`."""

    name: str
    elapsed: float
    limit: float
    """Its own limit; infinite where it has none."""


def parse_job(line: str) -> Job | None:
    """The job that a line shows, if it shows one."""
    named, _, times = line.rstrip().removesuffix(")").rpartition("(")
    parts = times.split("/")
    match = _JOB.search(named.rstrip()) if ")" not in times else None
    if match is None or not all(parts) or len(parts) > 2:  # noqa: PLR2004 - how long it has run, and may run
        return None
    limit = parse_span(parts[-1])
    return Job(
        name=(match[1] or match[2]).rstrip(". "),
        elapsed=(parse_span(parts[0]) or 0.0) if len(parts) > 1 else 0.0,
        limit=math.inf if limit is None else limit,
    )


def parse_span(text: str) -> float | None:
    """Seconds of a time span as systemd writes it (systemd.time(7)); None for `no limit` and what is none."""
    parts = _SPAN.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """Where a boot is: all that the decision needs."""

    stage: Stage
    lasted: float
    """Since the stage began."""
    quiet: float
    """Since something was printed last."""
    received_bytes: int
    console: str
    idle: float = 0.0
    """How much of `quiet` the guest is known to have spent waiting."""
    slowness: float = 1.0
    timeout: float = NORMAL_TIMEOUT
    """boot.timeout"""
    job: Job | None = None
    """The job that was shown last, and how long ago."""
    job_age: float = 0.0
    command_line: str = ""
    """The kernel's, where it was shown."""
    last_lines: tuple[str, ...] = ()
    """What was printed last; the last of them as far as it has come."""
    display: bool = False
    """Whether the machine has a display, of which the run keeps a screenshot."""

    @property
    def last_line(self) -> str:
        return next((line.strip() for line in reversed(self.last_lines) if line.strip()), "")

    @property
    def handed_over(self) -> bool:
        """Whether the firmware has started something of the image, that nobody knows of yet."""
        words = [line for line in self.last_lines if _HANDED_OVER.match(line) or _TOOK_BACK.match(line)]
        return self.stage is Stage.FIRMWARE and bool(words) and _HANDED_OVER.match(words[-1]) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A stage that is over its time: the rule, the cause and what to do."""

    rule: str
    cause: str
    remedy: str


def stage_limit(state: StageState) -> float:
    """How long the stage may last, in seconds of this host; a running job extends it up to the job's own limit."""
    base = STAGE_SECONDS.get(state.stage, math.inf) * max(1.0, state.timeout / NORMAL_TIMEOUT) * state.slowness
    if state.job is None:
        return base
    # the guest counts a job's time by its own clock, which runs as the host's does
    left = 0.0 if math.isinf(state.job.limit) else max(0.0, state.job.limit - state.job.elapsed)
    return max(base, state.lasted - state.job_age + left + JOB_GRACE_SECONDS * state.slowness)


def silence(state: StageState) -> float:
    """How long the console has been silent, in seconds of a host of normal speed."""
    return state.idle + (state.quiet - state.idle) / state.slowness


def overdue(state: StageState) -> Overdue | None:
    """Whether the stage has lasted too long, or was silent too long."""
    if silence(state) >= SILENCE_SECONDS.get(state.stage, math.inf):
        if state.handed_over and not _firmware_is_uefi(state):
            return Overdue(rule="bios-nothing-started", cause=_nothing_started(state), remedy=_nothing_to_read(state))
        return Overdue(rule="silent-console", cause=_silence(state), remedy=_where_to_look(state))
    limit = stage_limit(state)
    if state.lasted < limit:
        return None
    job = f"; a job is still running: {state.job.name}" if state.job else ""
    return Overdue(
        rule="stage-timeout",
        cause=f"stage {state.stage} has lasted {state.lasted:.0f} s, and may take {limit:.0f} s on this host{job}",
        remedy="see the last lines; a longer boot.timeout gives every stage more time",
    )


def _silence(state: StageState) -> str:
    if state.received_bytes == 0:
        return f"nothing at all was printed on the serial console in {state.quiet:.0f} s: 0 bytes came"
    if state.handed_over:
        return f"the firmware started the image's loader, and nothing was printed for {state.quiet:.0f} s{_last(state)}"
    return (
        f"the console fell silent in stage {state.stage}: nothing for {state.quiet:.0f} s, "
        f"after {state.received_bytes} bytes{_last(state)}"
    )


def _nothing_started(state: StageState) -> str:
    last = "" if _HANDED_OVER.match(state.last_line) else _last(state)
    return f"the BIOS started the image's boot sector, and nothing was printed for {state.quiet:.0f} s{last}"


def _last(state: StageState) -> str:
    """What was seen last: a person may know it."""
    line = state.last_line
    if not line:
        return ""
    return f"; the last line is `{line[:LAST_LINE_CHARACTERS]}{'…' if len(line) > LAST_LINE_CHARACTERS else ''}`"


def _firmware_is_uefi(state: StageState) -> bool:
    return any(line.startswith("BdsDxe: ") for line in state.last_lines)


def _screen(state: StageState) -> str:
    """Where what is drawn on a display can be seen."""
    if state.display:
        return "screenshot.png in the run folder shows what is on its display"
    return "boot.display: true (--display) keeps a screenshot of what it shows on a display"


def _nothing_to_read(state: StageState) -> str:
    return (
        "the image needs a boot loader for BIOS: its boot sector holds none (as one for UEFI alone), or what it starts "
        f"does not print on {state.console} but on a display (a menu, memtest86+): {_screen(state)}"
    )


def _loader_may_wait(state: StageState) -> str:
    return (
        f"the boot loader may wait in a menu that it does not show on {state.console}: {_screen(state)}; have it speak "
        "there (GRUB: serial and terminal_output, SYSLINUX: serial 0 115200) and boot by itself (a timeout), or type "
        "what it waits for: boot.steps (--steps)"
    )


def _where_to_look(state: StageState) -> str:
    """Which port was watched, and what the kernel was told to print to."""
    if state.stage is Stage.LOADER or state.handed_over:
        return _loader_may_wait(state)
    name = state.console
    consoles = re.findall(r"(?:^|\s)console=([^\s,]+)", state.command_line)
    watched = f"{name}, the machine's first serial port, was watched"
    if name in consoles and consoles[-1] != name:
        return (
            f"{watched}; the kernel's command line names {' and '.join(consoles)}: the init system writes to the last, "
            f"{consoles[-1]}, so put console={name} last"
        )
    if name in consoles:
        return f"{watched}, and console={name} is on the kernel's command line: see where it stopped"
    if state.command_line:
        named = " and ".join(f"console={console}" for console in consoles) or "no console= at all"
        return f"{watched}, but the kernel's command line has {named}: add console={name}"
    return f"{watched}: is console={name} on the kernel's command line?"
