"""Looks at everything a guest shows (console, QEMU's events and messages) while others wait for something.

Every wait goes through `BootWatch.wait`: it ends with what was waited for, with the deadline, or, whichever thread
saw it, with the guest's failure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.report import Finding, Severity, Stage, StageTime
from metallize.qemu.findings import (
    BLOCK_AFTER,
    BLOCK_SECONDS,
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    CUT_LOGIN_PROMPT,
    ENOUGH_FINDINGS,
    ENOUGH_HITS,
    LOGIN_PROMPT,
    LOGIN_QUIET_SECONDS,
    MAX_FINDINGS,
    PROMPT_QUIET_SECONDS,
    RESTART_GRACE_SECONDS,
    SETTLE_SECONDS,
    SHOWN_CHARACTERS,
    STALL_GRACE_SECONDS,
    Kept,
    Seen,
    kernel_time,
    lines_after,
    lines_before,
)
from metallize.qemu.rules import Hit, Scanner
from metallize.qemu.stages import NORMAL_TIMEOUT, Job, StageState, overdue, parse_job

T = TypeVar("T")

JOB_RULE = "job-running"
BANNER_RULE = "kernel-banner"
COMMAND_LINE_RULE = "kernel-command-line"
MENU_RULE = "grub-menu-waits"
"""Every menu looks like one that waits, until it counts down or boots an entry."""
COUNTDOWN_RULE = "grub-countdown"
BOOTING_RULE = "grub-boots-an-entry"
CUT_LOGIN = "login: ["
RESTART_REMEDY = "a panic with panic= on the command line, a triple fault, a watchdog or kexec does this"
RESTARTED = "a second kernel began, although no reboot was asked for"
RESTS_PER_LOOK = 16.0
"""Whoever waits rests so many times longer than its look took."""


class BootWatch:
    """The state of one guest's boot; fed by the reader threads, asked by everyone who waits."""

    def __init__(
        self,
        scanner: Scanner,
        *,
        console_name: str,
        slowness: float = 1.0,
        timeout: float = NORMAL_TIMEOUT,
        emulated: bool = False,
        on_stage: Callable[[StageTime], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scanner = scanner
        self._console_name = console_name
        self._timeout = timeout
        self._emulated = emulated
        self.slowness = slowness
        self.network_started = False
        self._on_stage = on_stage
        self._clock = clock
        self._changed = threading.Condition()
        self._begun = self._last_output = self._last_progress = clock()
        self._stages: list[StageTime] = [StageTime(stage=Stage.QEMU, seconds=0.0)]
        self._recent: deque[str] = deque(maxlen=CONTEXT_BEFORE)
        self._fatal: Seen | None = None
        self._stall: Seen | None = None
        self._restart: Seen | None = None
        self._open: list[Seen] = []
        self._findings: list[Seen] = []
        self._hits: dict[str, int] = {}
        self._known: dict[str, set[str]] = {}
        self._job: Job | None = None
        self._job_shown = self._kernel_time = 0.0
        self._command_line = ""
        self._stamped = False
        self._received_bytes = 0
        self._reset_expected = False
        self._resets = 0
        self._early_reset = False
        self._outputs = 0
        self._reset_output = -1
        self._ending = False
        self._partial = ""
        self._partial_seen = ""

    # --- asked ---------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        return self._stages[-1].stage

    @property
    def stages(self) -> tuple[StageTime, ...]:
        with self._changed:
            return tuple(self._stages)

    @property
    def seconds(self) -> float:
        return self._clock() - self._begun

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found that did not end the boot."""
        with self._changed:
            return tuple(seen.complete() for seen in self._findings)

    @property
    def missing(self) -> tuple[str, ...]:
        """What console.require names and no line has shown."""
        with self._changed:
            return self._scanner.missing

    def allows(self, text: str) -> bool:
        """Whether console.allow says that this is no failure."""
        return self._scanner.allows(text)

    def check(self) -> None:
        """Raises GuestFailed when the guest has failed."""
        with self._changed:
            self._check(self._clock())

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        """Wait until the condition gives something else than None; None when the deadline has passed.

        The condition is asked whenever something was fed, and ten times a second; one that takes long to answer is
        asked less often. Raises GuestFailed.
        """
        while True:
            with self._changed:
                self._check(self._clock())
            begun = time.monotonic()
            value = condition()
            if value is not None or deadline.expired:
                return value
            now = time.monotonic()
            rested = now + min(0.5, RESTS_PER_LOOK * (now - begun))
            with self._changed:
                self._changed.wait(min(0.1, deadline.remaining))
                # A flood wakes everybody all the time: to look must not take the processor from those who do the work.
                while (left := min(rested - time.monotonic(), deadline.remaining)) > 0:
                    self._changed.wait(left)

    def wake(self) -> None:
        """Something that somebody waits for may have changed."""
        with self._changed:
            self._changed.notify_all()

    # --- told ----------------------------------------------------------------------------------------------------

    def switched_on(self) -> None:
        """The guest runs from now on: all times count from here."""
        with self._changed:
            self._begun = self._last_output = self._last_progress = self._clock()

    def reached(self, stage: Stage, seconds: float | None = None) -> None:
        """A stage was seen to begin: now, or so long after power-on."""
        with self._changed:
            self._reach(stage, self._clock() if seconds is None else self._begun + seconds)
            self._changed.notify_all()

    def expect_reset(self) -> None:
        with self._changed:
            self._reset_expected = True

    def kept(self) -> Kept:
        """What is known of the guest as it is now, for when it is put back to this moment."""
        with self._changed:
            return Kept(
                stages=tuple(self._stages),
                findings=tuple(self._findings),
                known={rule: frozenset(causes) for rule, causes in self._known.items()},
                hits=dict(self._hits),
                resets=self._resets,
            )

    def put_back(self, kept: Kept) -> tuple[Finding, ...]:
        """The guest is what it was then: whatever it has shown since is forgotten, and returned."""
        with self._changed:
            since = [seen.complete() for seen in self._findings[len(kept.findings) :]]
            self._stages, self._findings = list(kept.stages), list(kept.findings)
            self._resets, self._reset_expected = kept.resets, False
            self._known = {rule: set(causes) for rule, causes in kept.known.items()}
            self._hits = dict(kept.hits)
            self._fatal = self._stall = self._restart = self._job = None
            self._open = []
            self._recent.clear()
            self._partial = ""
            self._last_output = self._last_progress = self._clock()
            self._changed.notify_all()
            return tuple(since)

    @property
    def resets(self) -> int:
        return self._resets

    def ending(self) -> None:
        """The machine is being switched off on purpose: nothing it does from now on is a failure."""
        with self._changed:
            self._ending = True

    def received(self, count: int) -> None:
        """So many bytes came on the serial port, whatever they mean."""
        with self._changed:
            now = self._clock()
            self._last_output = now
            self._received_bytes += count
            self._outputs += 1
            if self.stage is Stage.QEMU:
                self._reach(Stage.FIRMWARE, now)

    def console_text(self, text: str, partial: str) -> None:
        """Whole lines that came, and the line as far as it has come."""
        now = self._clock()
        with self._changed:
            self._last_output = now
            self._outputs += 1
            if self.stage is Stage.QEMU:
                self._reach(Stage.FIRMWARE, now)
            if text:
                self._lines(text, now)
            self._partial = partial
            self._partial_seen = ""
            self._changed.notify_all()

    def aside(self, text: str) -> None:
        """Whole lines that came on another port than the console's."""
        now = self._clock()
        with self._changed:
            self._last_output = now
            self._lines(text, now)
            self._changed.notify_all()

    def qemu_line(self, line: str) -> None:
        """A line of QEMU's standard error."""
        with self._changed:
            for hit in self._scanner.match(line):
                if hit.rule.stage is Stage.QEMU:
                    self._found(hit, (), "", self._clock())
            self._changed.notify_all()

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None:
        """Something other than a line ended the boot; the first that did so counts."""
        now = self._clock()
        with self._changed:
            if self._fatal is None and not self._ending:
                finding = Finding(
                    rule=rule,
                    stage=stage or self.stage,
                    severity=Severity.FATAL,
                    cause=cause,
                    remedy=remedy,
                    line=line,
                    seconds=now - self._begun,
                )
                self._fatal = Seen(finding, now + SETTLE_SECONDS, (*self._recent,))
            self._changed.notify_all()

    def event(self, name: str, data: Mapping[str, object]) -> None:
        """An event of QMP."""
        reason = str(data.get("reason", ""))
        match name:
            case "RESET" if data.get("guest"):
                self._was_reset()
            case "SHUTDOWN" if data.get("guest"):
                self.fail(
                    "guest-shutdown",
                    f"the guest switched itself off ({reason})",
                    remedy="see the last lines: something asked for a power-off in the middle of the boot",
                )
            case "NIC_RX_FILTER_CHANGED":
                self.network_started = True
                self.wake()
            case "GUEST_PANICKED":
                self.fail("guest-panicked", "the guest's kernel told QEMU that it panicked")
            case "BLOCK_IO_ERROR" if data.get("nospace"):
                self.fail(
                    "host-disk-full", "the host's disk is full: the guest's overlay cannot grow", stage=Stage.QEMU
                )
            case _:
                pass

    # --- inside, under the lock ----------------------------------------------------------------------------------

    def _lines(self, text: str, now: float) -> None:
        for seen in self._open:
            seen.add(lines_after(text, -1, seen.most_after - len(seen.after)), now)
        for hit in self._scanner.scan(text, self.stage):
            self._found(hit, (*self._recent,), text, now)
        self._open = [seen for seen in self._open if not seen.full and seen.due > now]
        if CUT_LOGIN in text and CUT_LOGIN_PROMPT.search(text):
            self._prompted(now)
        self._recent.extend(lines_before(text, len(text), CONTEXT_BEFORE))

    def _found(self, hit: Hit, recent: tuple[str, ...], text: str, now: float) -> None:
        rule = hit.rule
        forged = self._stamped and rule.stamped is not None and not rule.stamped.search(hit.line)
        if rule.severity is Severity.PROGRESS and not forged:
            self._progress(hit, recent, text, now)
        if rule.severity is Severity.PROGRESS or forged or self.stage.rank > rule.until.rank:
            return
        severity = rule.emulated if self._emulated and rule.emulated is not None else rule.severity
        cause = rule.explain(hit.match)
        known = self._known.setdefault(rule.id, set())
        hits = self._hits[rule.id] = self._hits.get(rule.id, 0) + 1
        if severity is Severity.FATAL:
            self._found_fatal(hit, cause, recent, text, now)
        elif rule.id == MENU_RULE and self._stall is not None:
            return
        elif severity is Severity.STALL and (self._stall is None or self._at_menu):
            self._stall = self._seen(hit, severity, cause, recent, text, now)
            self._stall.due = now + STALL_GRACE_SECONDS * self.slowness
            known.add(cause)
        elif hits > ENOUGH_HITS or len(known) >= ENOUGH_FINDINGS:
            self._scanner.mute(rule)
        elif cause not in known and len(self._findings) < MAX_FINDINGS:
            known.add(cause)
            severity = Severity.WARNING if severity is Severity.STALL else severity
            self._findings.append(self._seen(hit, severity, cause, recent, text, now))

    def _found_fatal(self, hit: Hit, cause: str, recent: tuple[str, ...], text: str, now: float) -> None:
        fatal = self._fatal
        if fatal is None and not self._ending:
            earlier = self._earlier() if hit.rule.consequence else ""
            cause = f"{cause}: {earlier}" if earlier else cause
            self._fatal = self._seen(hit, Severity.FATAL, cause, recent, text, now)
        elif fatal is not None and fatal.finding.rule == hit.rule.id and fatal.finding.cause in cause:
            fatal.finding = replace(fatal.finding, cause=cause)  # the line that says what the first one did not

    def _seen(self, hit: Hit, severity: Severity, cause: str, recent: tuple[str, ...], text: str, now: float) -> Seen:
        """A finding with the lines around it, as far as they have come."""
        rule = hit.rule
        seen = Seen(
            finding=Finding(
                rule=rule.id,
                stage=rule.stage,
                severity=severity,
                cause=cause[:SHOWN_CHARACTERS],
                remedy=rule.remedy,
                line=hit.line[:SHOWN_CHARACTERS],
                seconds=now - self._begun,
            ),
            due=now + (BLOCK_SECONDS if rule.ends else SETTLE_SECONDS),
            before=(*recent, *lines_before(text, hit.start, CONTEXT_BEFORE))[-CONTEXT_BEFORE:],
            most_after=BLOCK_AFTER if rule.ends else CONTEXT_AFTER,
            ends=rule.ends,
            earliest=now + SETTLE_SECONDS / 2,
        )
        seen.add(lines_after(text, hit.end, seen.most_after), now)
        if not seen.full:
            self._open.append(seen)
        return seen

    def _earlier(self) -> str:
        """What was seen before that explains what follows from it."""
        if self._stall is not None and not self._at_menu:
            return self._stall.finding.cause
        faults = [seen.finding for seen in self._findings if seen.finding.severity is Severity.FAULT]
        return faults[0].cause if faults else ""

    @property
    def _at_menu(self) -> bool:
        return self._stall is not None and self._stall.finding.rule == MENU_RULE

    def _progress(self, hit: Hit, recent: tuple[str, ...], text: str, now: float) -> None:
        rule, stage = hit.rule, self.stage
        if rule.id == JOB_RULE:
            self._last_progress = self._job_shown = now
            self._job = parse_job(hit.line) or self._job
        elif rule.id == COUNTDOWN_RULE:
            self._last_progress = now
        elif rule.id == BOOTING_RULE and self._at_menu:
            self._stall = None
        elif rule.id == BANNER_RULE:
            self._stamped = rule.stamped is not None and rule.stamped.search(hit.line) is not None
        elif rule.id == COMMAND_LINE_RULE:
            self._command_line = hit.line
        if rule.reaches is None:
            return
        if rule.restarts and stage.rank > rule.reaches.rank:
            before = kernel_time((*recent, *lines_before(text, hit.start, CONTEXT_BEFORE)))
            if self._restart is None and before is not None:
                self._kernel_time = before
                self._restart = self._seen(hit, Severity.FATAL, RESTARTED, recent, text, now)
                self._restart.finding = replace(self._restart.finding, rule="unexpected-reset", remedy=RESTART_REMEDY)
                self._restart.due = now + RESTART_GRACE_SECONDS * self.slowness
        elif stage.rank <= max(rule.until.rank, rule.reaches.rank):
            self._reach(rule.reaches, now)

    def _prompted(self, when: float) -> None:
        if self.stage.rank >= Stage.KERNEL.rank:
            self._reach(Stage.LOGIN, when)

    def _reach(self, stage: Stage, now: float) -> None:
        if stage.rank <= self.stage.rank:
            return
        self._stages.append(StageTime(stage=stage, seconds=max(now - self._begun, self._stages[-1].seconds)))
        self._on_stage(self._stages[-1])
        self._last_progress = now
        self._job = None
        if self._stall is not None:
            if not self._at_menu:
                self._findings.append(self._stall.weighed(Severity.WARNING))
            self._stall = None

    def _was_reset(self) -> None:
        with self._changed:
            if self._reset_output == self._outputs:
                return  # a kernel tries several ways to reset, and the first has not taken effect before the second
            self._resets += 1
            self._reset_output = self._outputs
            now = self._clock()
            early = self.stage.rank <= Stage.LOADER.rank
            if self._reset_expected or (early and not self._early_reset):
                # A first boot's fallback loader resets once when it has written its boot entries.
                self._early_reset = not self._reset_expected
                self._reset_expected = False
                self.network_started = False
                self._stall = self._restart = self._job = None
                self._command_line = ""
                self._stamped = False
                self._stages = [StageTime(stage=Stage.QEMU, seconds=now - self._begun)]
                self._last_output = self._last_progress = now
                self._changed.notify_all()
                return
        self.fail(
            "unexpected-reset",
            "the guest reset itself, although no reboot was asked for",
            remedy=RESTART_REMEDY,
        )

    def _check(self, now: float) -> None:
        if self._ending:
            return
        if self._fatal is not None and now >= self._fatal.due and self._fatal.lives_on:
            self._findings.append(self._fatal.weighed(Severity.WARNING))
            self._fatal = None
        if self._fatal is None:
            self._look_at_prompt(now)
        if self._fatal is None:
            self._fatal = self._grace_is_over(now)
        if self._fatal is None:
            self._look_at_clock(now)
        if self._fatal is not None and now >= self._fatal.due:
            raise GuestFailed(self._fatal.complete())

    def _look_at_prompt(self, now: float) -> None:
        """The line that was begun, once nothing has followed it for a while."""
        quiet = now - self._last_output
        if not self._partial or quiet < LOGIN_QUIET_SECONDS:
            return
        lines = (self._partial, self._scanner.head + self._partial)
        if any(len(line) < SHOWN_CHARACTERS and LOGIN_PROMPT.search(line) for line in lines):
            self._prompted(self._last_output)
        if quiet >= PROMPT_QUIET_SECONDS and self._partial_seen != self._partial:
            self._partial_seen = self._partial
            for hit in self._scanner.match(self._partial):
                self._found(hit, (*self._recent,), "", now)

    def _grace_is_over(self, now: float) -> Seen | None:
        """A stall after which nothing went on, or a second beginning that nobody asked for."""
        restart, latest = self._restart, kernel_time(self._recent)
        if restart is not None and now >= restart.due:
            self._restart = None
            # a log that was printed ends where the kernel is; a kernel that began is not there yet
            if latest is not None and latest < self._kernel_time - 1:
                return restart
        stall = self._stall
        if stall is None or now < max(stall.due, self._last_progress + STALL_GRACE_SECONDS * self.slowness):
            return None
        self._stall = None
        return stall.weighed(Severity.FATAL)

    def _look_at_clock(self, now: float) -> None:
        state = StageState(
            stage=self.stage,
            lasted=now - self._begun - self._stages[-1].seconds,
            quiet=now - self._last_output,
            received_bytes=self._received_bytes,
            console=self._console_name,
            slowness=self.slowness,
            timeout=self._timeout,
            job=self._job,
            job_age=now - self._job_shown,
            command_line=self._command_line,
            last_line=next((line for line in reversed(self._recent) if line.strip()), ""),
        )
        late = overdue(state)
        if late is None:
            return
        finding = Finding(
            rule=late.rule,
            stage=self.stage,
            severity=Severity.FATAL,
            cause=late.cause,
            remedy=late.remedy,
            seconds=now - self._begun,
        )
        self._fatal = Seen(finding, now, (*self._recent,))
