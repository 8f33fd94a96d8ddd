"""Looks at everything a guest shows (console, QEMU's events and messages) while others wait for something.

Every wait goes through `BootWatch.wait`: it ends with what was waited for, with the deadline, or, whichever thread
saw it, with the guest's failure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.report import Finding, Severity, Stage, StageTime
from metallize.qemu.findings import (
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    LOGIN_PROMPT,
    MAX_FINDINGS,
    PROMPT_QUIET_SECONDS,
    SETTLE_SECONDS,
    SHOWN_CHARACTERS,
    SILENCE_SECONDS,
    STALL_GRACE_SECONDS,
    Seen,
)
from metallize.qemu.rules import Hit, Scanner

T = TypeVar("T")


class BootWatch:
    """The state of one guest's boot; fed by the reader threads, asked by everyone who waits."""

    def __init__(
        self,
        scanner: Scanner,
        *,
        console_name: str,
        slowness: float = 1.0,
        on_stage: Callable[[StageTime], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scanner = scanner
        self._console_name = console_name
        self.slowness = slowness
        self.network_started = False
        self._on_stage = on_stage
        self._clock = clock
        self._changed = threading.Condition()
        self._begun = self._last_output = self._last_progress = clock()
        self._stages: list[StageTime] = [StageTime(stage=Stage.QEMU, seconds=0.0)]
        self._recent: deque[str] = deque(maxlen=200)
        self._fatal: Seen | None = None
        self._stall: Seen | None = None
        self._findings: list[Seen] = []
        self._reset_expected = False
        self._resets = 0
        self._early_reset = False
        self._outputs = 0
        self._reset_output = -1
        self._ending = False
        self._partial = ""

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

        The condition is asked whenever something was fed, and ten times a second. Raises GuestFailed.
        """
        while True:
            with self._changed:
                self._check(self._clock())
            value = condition()
            if value is not None or deadline.expired:
                return value
            with self._changed:
                self._changed.wait(min(0.1, deadline.remaining))

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

    @property
    def resets(self) -> int:
        return self._resets

    def ending(self) -> None:
        """The machine is being switched off on purpose: nothing it does from now on is a failure."""
        with self._changed:
            self._ending = True

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
            if LOGIN_PROMPT.search(partial[-200:]) and self.stage.rank >= Stage.KERNEL.rank:
                self._reach(Stage.LOGIN, now)
            self._changed.notify_all()
            self._partial = partial

    def qemu_line(self, line: str) -> None:
        """A line of QEMU's standard error."""
        with self._changed:
            for hit in self._scanner.scan(line):
                if hit.rule.stage is Stage.QEMU:
                    self._found(hit, (), self._clock())
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
                self._fatal = Seen(finding, now + SETTLE_SECONDS, tuple(self._recent)[-CONTEXT_BEFORE:])
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
        before_text = tuple(self._recent)
        for hit in self._scanner.scan(text):
            context = text[max(0, hit.start - 4096) : hit.start].split("\n")[:-1]
            self._found(hit, (*before_text, *context)[-CONTEXT_BEFORE:], now, text)
        last = text[-SHOWN_CHARACTERS:].removesuffix("\n").split("\n")
        if len(text) <= SHOWN_CHARACTERS:
            for seen in (self._fatal, self._stall):
                if (
                    seen is not None
                    and seen.due > now
                    and len(seen.after) < CONTEXT_AFTER
                    and seen.finding.line not in last
                ):
                    seen.after.extend(last[: CONTEXT_AFTER - len(seen.after)])
        self._recent.extend(last[-200:])

    def _found(self, hit: Hit, before: tuple[str, ...], now: float, text: str = "") -> None:
        rule = hit.rule
        if self.stage.rank > rule.until.rank and rule.severity is not Severity.PROGRESS:
            return
        if rule.severity is Severity.PROGRESS:
            self._last_progress = now
            if rule.reaches is not None and self.stage.rank <= max(rule.until.rank, rule.reaches.rank):
                self._reach(rule.reaches, now)
            return
        finding = Finding(
            rule=rule.id,
            stage=rule.stage,
            severity=rule.severity,
            cause=rule.explain(hit.match),
            remedy=rule.remedy,
            line=hit.line,
            seconds=now - self._begun,
        )
        following = text[hit.start + len(hit.line) + 1 :][:4096].split("\n")[:CONTEXT_AFTER] if text else []
        seen = Seen(finding, now + SETTLE_SECONDS, before, [line for line in following if line])
        if rule.severity is Severity.FATAL:
            if self._fatal is None and not self._ending:
                self._fatal = seen
        elif rule.severity is Severity.STALL and self._stall is None:
            seen.due = now + STALL_GRACE_SECONDS * self.slowness
            self._stall = seen
        elif len(self._findings) < MAX_FINDINGS and not any(
            other.finding.rule == rule.id and other.finding.cause == finding.cause for other in self._findings
        ):
            self._findings.append(seen)

    def _reach(self, stage: Stage, now: float) -> None:
        if stage.rank <= self.stage.rank:
            return
        self._stages.append(StageTime(stage=stage, seconds=max(now - self._begun, self._stages[-1].seconds)))
        self._on_stage(self._stages[-1])
        self._last_progress = now
        if self._stall is not None:
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
                self._stages = [StageTime(stage=Stage.QEMU, seconds=now - self._begun)]
                self._last_output = self._last_progress = now
                self._changed.notify_all()
                return
        self.fail(
            "unexpected-reset",
            "the guest reset itself, although no reboot was asked for",
            remedy="a panic with panic= on the command line, a triple fault or a watchdog does this",
        )

    def _check(self, now: float) -> None:
        if self._ending:
            return
        if self._fatal is None:
            self._look_for_silence(now)
        if self._fatal is not None and now >= self._fatal.due:
            raise GuestFailed(self._fatal.complete())

    def _look_for_silence(self, now: float) -> None:
        quiet = now - self._last_output
        if quiet >= PROMPT_QUIET_SECONDS and self._partial:
            for hit in self._scanner.prompts(self._partial):
                self._found(hit, tuple(self._recent)[-CONTEXT_BEFORE:], now)
        if self._stall is not None and now >= max(
            self._stall.due, self._last_progress + STALL_GRACE_SECONDS * self.slowness
        ):
            self._fatal = self._stall
            self._stall = None
            return
        limit = SILENCE_SECONDS.get(self.stage)
        if limit is None or quiet < limit * self.slowness or self._fatal is not None:
            return
        name = self._console_name
        if self.stage is Stage.QEMU:
            cause = f"nothing at all was printed on the serial console in {quiet:.0f} s"
        else:
            cause = f"the console fell silent in stage {self.stage}: nothing for {quiet:.0f} s"
        self._fatal = Seen(
            Finding(
                rule="silent-console",
                stage=self.stage,
                severity=Severity.FATAL,
                cause=cause,
                remedy=f"{name} was watched: is console={name} on the kernel's command line?",
                seconds=now - self._begun,
            ),
            now,
            tuple(self._recent)[-CONTEXT_BEFORE:],
        )
