"""What a boot's lines mean for its course and for what is found of it: read in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metallize.console.findings import CUT_LOGIN_PROMPT, ENDS, LOGIN_PROMPT, SHOWN_CHARACTERS
from metallize.console.ledger import Ledger
from metallize.console.progress import Course
from metallize.console.rules import Hit, Scanner
from metallize.console.stages import parse_job
from metallize.model.report import Severity, Stage, StageTime
from metallize.patience import FINDINGS_LOGIN_QUIET as LOGIN_QUIET_SECONDS
from metallize.patience import FINDINGS_PROMPT_QUIET as PROMPT_QUIET_SECONDS

JOB_RULE = "job-running"
BANNER_RULE = "kernel-banner"
COMMAND_LINE_RULE = "kernel-command-line"
COUNTDOWN_RULES = ("grub-countdown", "syslinux-countdown")
BOOTING_RULES = ("grub-boots-an-entry", "syslinux-loads")
INITRD_RULE = "initrd-systemd"
SWITCH_RULE = "initrd-switches-root"
USERSPACE_RULE = "userspace-init"
WELCOME = "Welcome to "
INITRDS_WELCOMES = (WELCOME, "Booting initrd of ")
CUT_LOGIN = "login: ["


class Reading:
    """Tells the course and the ledger of what was printed. It has no clock and no lock: whoever feeds it says when."""

    def __init__(self, scanner: Scanner, course: Course, ledger: Ledger, on_stage: Callable[[StageTime], None]) -> None:
        self._scanner = scanner
        self._course = course
        self._ledger = ledger
        self._on_stage = on_stage
        self._stamped = False
        self.partial = ""
        """The line as far as it has come."""
        self._partial_seen = ""
        self.ending = False
        """The machine is being switched off: no line is a failure any more."""

    def begin_again(self) -> None:
        """The machine was reset, as it may be."""
        self._stamped = False

    def line_begun(self, partial: str) -> None:
        """The line as far as it has come."""
        self.partial = partial
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
        if (rule.prompt or rule.id in ENDS) and self._scanner.wants(hit.line):
            return  # it is asked for
        if self._course.in_initrd and rule.stage is Stage.USERSPACE:
            hit = replace(hit, rule=replace(rule, stage=Stage.INITRD))
        if self._ledger.weigh(hit, text, now, ending=self.ending):
            self._scanner.mute(rule)

    def _progress(self, hit: Hit, text: str, now: float) -> None:
        rule, stage = hit.rule, self._course.stage
        if rule.id == JOB_RULE:
            self._course.job_shown(parse_job(hit.line), now)
        elif rule.id in COUNTDOWN_RULES:
            self._course.got_on(now)
        elif rule.id in BOOTING_RULES and self._ledger.at_menu:
            self._ledger.stall = None
        elif rule.id == BANNER_RULE:
            self._stamped = rule.stamped is not None and rule.stamped.search(hit.line) is not None
        elif rule.id == COMMAND_LINE_RULE:
            self._course.command_line = hit.line
        else:
            self._init(hit, now)
        if rule.reaches is None:
            return
        if rule.restarts and stage.rank > rule.reaches.rank:
            self._ledger.began_again(hit, text, now)
        elif stage.rank <= max(rule.until.rank, rule.reaches.rank):
            self.reach(rule.reaches, now)

    def _init(self, hit: Hit, now: float) -> None:
        """An init begins, or a systemd says that it is the initrd's: then what began before was not the system's."""
        inits = self._course.inits
        if hit.rule.id == USERSPACE_RULE:
            sign = WELCOME if hit.line.startswith(WELCOME) else (hit.match[0] or "")[:8]
            if inits.begins(sign):
                self.reach(Stage.USERSPACE, now)
        if hit.rule.id not in (INITRD_RULE, SWITCH_RULE):
            return
        if self._course.is_in_initrd(now):
            self._on_stage(self._course.stages[-1])
        if hit.line.startswith(INITRDS_WELCOMES):
            inits.welcomed(WELCOME)
        inits.switched = inits.switched or hit.rule.id == SWITCH_RULE

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
        if not self.partial or quiet < LOGIN_QUIET_SECONDS:
            return
        lines = (self.partial, self._scanner.head + self.partial)
        if any(len(line) < SHOWN_CHARACTERS and LOGIN_PROMPT.search(line) for line in lines):
            self._prompted(self._course.last_output)
        if quiet >= PROMPT_QUIET_SECONDS and self._partial_seen != self.partial:
            self._partial_seen = self.partial
            self._scanner.wants(self.partial)
            for hit in self._scanner.match(self.partial):
                self.found(hit, "", now)
