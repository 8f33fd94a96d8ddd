"""What a boot's lines mean for its course and for what is found of it: read in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable

from metallize.console.findings import (
    CUT_LOGIN_PROMPT,
    LOGIN_PROMPT,
    LOGIN_QUIET_SECONDS,
    PROMPT_QUIET_SECONDS,
    SHOWN_CHARACTERS,
)
from metallize.console.ledger import Ledger
from metallize.console.progress import Course
from metallize.console.rules import Hit, Scanner
from metallize.console.stages import parse_job
from metallize.model.report import Severity, Stage, StageTime

JOB_RULE = "job-running"
BANNER_RULE = "kernel-banner"
COMMAND_LINE_RULE = "kernel-command-line"
COUNTDOWN_RULE = "grub-countdown"
BOOTING_RULE = "grub-boots-an-entry"
CUT_LOGIN = "login: ["


class Reading:
    """Tells the course and the ledger of what was printed. It has no clock and no lock: whoever feeds it says when."""

    def __init__(self, scanner: Scanner, course: Course, ledger: Ledger, on_stage: Callable[[StageTime], None]) -> None:
        self._scanner = scanner
        self._course = course
        self._ledger = ledger
        self._on_stage = on_stage
        self._stamped = False
        self._partial = ""
        self._partial_seen = ""
        self.ending = False
        """The machine is being switched off: no line is a failure any more."""

    def begin_again(self) -> None:
        """The machine was reset, as it may be."""
        self._stamped = False

    def line_begun(self, partial: str) -> None:
        """The line as far as it has come."""
        self._partial = partial
        self._partial_seen = ""

    def lines(self, text: str, now: float) -> None:
        self._ledger.follow(text, now)
        for hit in self._scanner.scan(text, self._course.stage):
            self.found(hit, text, now)
        if CUT_LOGIN in text and CUT_LOGIN_PROMPT.search(text):
            self._prompted(now)
        self._ledger.remember(text, now)

    def found(self, hit: Hit, text: str | None, now: float) -> None:
        rule = hit.rule
        forged = self._stamped and rule.stamped is not None and not rule.stamped.search(hit.line)
        if rule.severity is Severity.PROGRESS and not forged:
            self._progress(hit, text or "", now)
        if rule.severity is Severity.PROGRESS or forged or self._course.stage.rank > rule.until.rank:
            return
        if self._ledger.weigh(hit, text, now, ending=self.ending):
            self._scanner.mute(rule)

    def _progress(self, hit: Hit, text: str, now: float) -> None:
        rule, stage = hit.rule, self._course.stage
        if rule.id == JOB_RULE:
            self._course.job_shown(parse_job(hit.line), now)
        elif rule.id == COUNTDOWN_RULE:
            self._course.got_on(now)
        elif rule.id == BOOTING_RULE and self._ledger.at_menu:
            self._ledger.stall = None
        elif rule.id == BANNER_RULE:
            self._stamped = rule.stamped is not None and rule.stamped.search(hit.line) is not None
        elif rule.id == COMMAND_LINE_RULE:
            self._course.command_line = hit.line
        if rule.reaches is None:
            return
        if rule.restarts and stage.rank > rule.reaches.rank:
            self._ledger.began_again(hit, text, now)
        elif stage.rank <= max(rule.until.rank, rule.reaches.rank):
            self.reach(rule.reaches, now)

    def _prompted(self, when: float) -> None:
        if self._course.stage.rank >= Stage.KERNEL.rank:
            self.reach(Stage.LOGIN, when)

    def reach(self, stage: Stage, now: float) -> None:
        if self._course.reach(stage, now):
            self._on_stage(self._course.stages[-1])
            self._ledger.went_on()

    def look_at_prompt(self, now: float) -> None:
        """The line that was begun, once nothing has followed it for a while."""
        quiet = now - self._course.last_output
        if not self._partial or quiet < LOGIN_QUIET_SECONDS:
            return
        lines = (self._partial, self._scanner.head + self._partial)
        if any(len(line) < SHOWN_CHARACTERS and LOGIN_PROMPT.search(line) for line in lines):
            self._prompted(self._course.last_output)
        if quiet >= PROMPT_QUIET_SECONDS and self._partial_seen != self._partial:
            self._partial_seen = self._partial
            for hit in self._scanner.match(self._partial):
                self.found(hit, "", now)
