"""Looks at everything a guest shows (console, QEMU's events and messages) while others wait for something.

Every wait goes through `BootWatch.wait`: it ends with what was waited for, with the deadline, or, whichever thread
saw it, with the guest's failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from metallize.console.effort import Busy, Idleness
from metallize.console.findings import Kept, Seen
from metallize.console.flood import Flood
from metallize.console.ledger import PANICKED_RULE, RESTART_REMEDY, Ledger
from metallize.console.progress import Course
from metallize.console.reading import Reading
from metallize.console.rules import Scanner
from metallize.console.stages import NORMAL_TIMEOUT, StageState, overdue, silence
from metallize.deadline import Deadline
from metallize.errors import of_thread
from metallize.guest import GuestFailed
from metallize.model.report import Finding, Severity, Stage, StageTime

T = TypeVar("T")

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
        self.slowness = slowness
        self.network_started = False
        self._clock = clock
        self._changed = threading.Condition()
        self._course = Course(console_name=console_name, slowness=slowness, timeout=timeout, now=clock())
        self._flood = Flood()
        self._ledger = Ledger(slowness=slowness, emulated=emulated)
        self._ledger.begun = self._course.begun
        self._reading = Reading(scanner, self._course, self._ledger, on_stage)
        self._reset_expected = False
        self._resets = 0
        self._early_reset = False
        self._reset_output = -1
        self._ending = False
        self._broken: BaseException | None = None

    # --- asked ---------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        return self._course.stage

    @property
    def stages(self) -> tuple[StageTime, ...]:
        with self._changed:
            return tuple(self._course.stages)

    @property
    def seconds(self) -> float:
        return self._clock() - self._course.begun

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found that did not end the boot."""
        with self._changed:
            return self._ledger.findings

    @property
    def missing(self) -> tuple[str, ...]:
        """What console.require names and no line has shown."""
        with self._changed:
            return self._scanner.missing

    @property
    def flooded(self) -> bool:
        with self._changed:
            return self._flood.goes_on(self._clock())

    @property
    def flooded_seconds(self) -> float:
        with self._changed:
            return self._flood.seconds(self._clock())

    @property
    def flooded_bytes(self) -> int:
        with self._changed:
            return self._flood.size_bytes

    def allows(self, text: str) -> bool:
        """Whether console.allow says that this is no failure."""
        return self._scanner.allows(text)

    def check_threads(self) -> None:
        """Raises what a thread of ours died of, BugError mostly: what was seen of the guest since is worth nothing."""
        if self._broken is not None:
            raise self._broken

    def check(self) -> None:
        """Raises GuestFailed when the guest has failed, and as `check_threads` does."""
        with self._changed:
            self._check(self._clock())

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        """Wait until the condition gives something else than None; None when the deadline has passed.

        The condition is asked whenever something was fed, and ten times a second; one that takes long to answer is
        asked less often. Raises GuestFailed, and BugError when a thread of ours has died of one.
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

    def idle_meter(self) -> Callable[[], float]:
        begun, meter = self._clock(), Idleness(self._course.idleness.busy)
        meter.seconds(begun, begun)
        return lambda: meter.seconds(begun, self._clock())

    # --- told ----------------------------------------------------------------------------------------------------

    def switched_on(self, busy: Busy = lambda: None, *, display: bool = False) -> None:
        """The guest runs from now on: all times count from here. `busy` says how long it has worked."""
        with self._changed:
            self._course.display = display
            self._course.idleness.busy = busy
            self._course.switched_on(self._clock())
            self._ledger.begun = self._course.begun

    def reached(self, stage: Stage, seconds: float | None = None) -> None:
        """A stage was seen to begin: now, or so long after power-on."""
        with self._changed:
            self._reading.reach(stage, self._clock() if seconds is None else self._course.begun + seconds)
            self._changed.notify_all()

    def expect_reset(self) -> None:
        with self._changed:
            self._reset_expected = True

    def kept(self) -> Kept:
        """What is known of the guest as it is now, for when it is put back to this moment."""
        with self._changed:
            return self._ledger.kept(tuple(self._course.stages), self._resets)

    def put_back(self, kept: Kept) -> tuple[Finding, ...]:
        """The guest is what it was then: whatever it has shown since is forgotten, and returned."""
        with self._changed:
            since = self._ledger.put_back(kept)
            self._course.put_back(kept.stages, self._clock())
            self._resets, self._reset_expected = kept.resets, False
            self._reading.line_begun("")
            self._changed.notify_all()
            return since

    @property
    def resets(self) -> int:
        return self._resets

    def ending(self) -> None:
        """The machine is being switched off on purpose: nothing it does from now on is a failure."""
        with self._changed:
            self._ending = self._reading.ending = True

    def go_on(self) -> None:
        with self._changed:
            self._ledger.put_by()
            self._course.got_on(self._clock())

    def drain(self, deadline: Deadline) -> tuple[str, ...]:
        def quiet() -> bool | None:
            with self._changed:
                return None if self._ledger.pending else True

        self.wait(quiet, deadline)
        with self._changed:
            return self._ledger.pending

    def received(self, count: int) -> None:
        """So many bytes came on the serial port, whatever they mean."""
        with self._changed:
            now = self._clock()
            self._course.printed(now, count)
            self._flood.printed(now, count)
            if self.stage is Stage.QEMU:
                self._reading.reach(Stage.FIRMWARE, now)

    def console_text(self, text: str, partial: str) -> None:
        """Whole lines that came, and the line as far as it has come."""
        now = self._clock()
        with self._changed:
            self._course.printed(now)
            if self.stage is Stage.QEMU:
                self._reading.reach(Stage.FIRMWARE, now)
            if text:
                self._reading.lines(text, now)
            self._reading.line_begun(partial)
            self._changed.notify_all()

    def aside(self, text: str) -> None:
        """Whole lines that came on another port than the console's."""
        now = self._clock()
        with self._changed:
            self._course.last_output = now
            self._reading.lines(text, now)
            self._changed.notify_all()

    def qemu_line(self, line: str) -> None:
        """A line of QEMU's standard error."""
        with self._changed:
            for hit in self._scanner.match(line):
                if hit.rule.stage is Stage.QEMU:
                    self._reading.found(hit, None, self._clock())
            self._changed.notify_all()

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None:
        """Something other than a line ended the boot; the first that did so counts."""
        with self._changed:
            if not self._ending:
                self._ledger.ended(rule, stage or self.stage, cause, remedy=remedy, line=line, now=self._clock())
            self._changed.notify_all()

    def broke(self, thread: str, error: BaseException) -> None:
        """A thread of ours died of what nobody foresaw: it ends every wait at once, whatever the guest does."""
        with self._changed:
            self._broken = self._broken or of_thread(thread, error)
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
                self.fail(PANICKED_RULE, "the guest's kernel told QEMU that it panicked")
            case "BLOCK_IO_ERROR" if data.get("nospace"):
                self.fail(
                    "host-disk-full", "the host's disk is full: the guest's overlay cannot grow", stage=Stage.QEMU
                )
            case _:
                pass

    # --- inside, under the lock ----------------------------------------------------------------------------------

    def _was_reset(self) -> None:
        with self._changed:
            if self._reset_output == self._course.outputs:
                return  # a kernel tries several ways to reset, and the first has not taken effect before the second
            self._resets += 1
            self._reset_output = self._course.outputs
            now = self._clock()
            early = self.stage.rank <= Stage.LOADER.rank
            if self._reset_expected or (early and not self._early_reset):
                # A first boot's fallback loader resets once when it has written its boot entries.
                self._early_reset = not self._reset_expected
                self._reset_expected = False
                self.network_started = False
                self._ledger.reset()
                self._reading.begin_again()
                self._course.begin_again(now)
                self._changed.notify_all()
                return
        self.fail(
            "unexpected-reset",
            "the guest reset itself, although no reboot was asked for",
            remedy=RESTART_REMEDY,
        )

    def _check(self, now: float) -> None:
        self.check_threads()
        if self._ending:
            return
        ledger = self._ledger
        ledger.look(now)
        if ledger.fatal is None:
            self._reading.look_at_prompt(now)
        state = self._course.state(now, (*ledger.recent, self._reading.partial))
        if ledger.fatal is None:
            ledger.grace_is_over(now, self._course.last_progress, silence(state), state.quiet)
        if ledger.fatal is None:
            self._look_at_clock(state, now)
        if ledger.fatal is not None and now >= ledger.fatal.due:
            raise GuestFailed(ledger.fatal.complete())

    def _look_at_clock(self, state: StageState, now: float) -> None:
        late = overdue(state)
        if late is None:
            return
        finding = Finding(
            rule=late.rule,
            stage=self.stage,
            severity=Severity.FATAL,
            cause=late.cause,
            remedy=late.remedy,
            seconds=now - self._course.begun,
        )
        self._ledger.fatal = Seen(finding, now, (*self._ledger.recent,))
