"""What was found of one boot so far: what ended it, what may yet do so, and everything else that is worth a word."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from metallize.console.findings import (
    BLOCK_AFTER,
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    ENOUGH_FINDINGS,
    ENOUGH_HITS,
    MAX_FINDINGS,
    SHOWN_CHARACTERS,
    WAIT_SECONDS,
    Kept,
    Seen,
    kernel_time,
    lines_after,
    lines_before,
)
from metallize.console.rules import Hit
from metallize.model.report import Finding, Severity, Stage, StageTime
from metallize.patience import FINDINGS_BLOCK as BLOCK_SECONDS
from metallize.patience import FINDINGS_PANIC_LINE as PANIC_LINE_SECONDS
from metallize.patience import FINDINGS_RESTART_GRACE as RESTART_GRACE_SECONDS
from metallize.patience import FINDINGS_SETTLE as SETTLE_SECONDS
from metallize.patience import FINDINGS_STALL_GRACE as STALL_GRACE_SECONDS

PANICKED_RULE = "guest-panicked"
"""pvpanic's word, which may come before the console's, and says less."""
RESTART_REMEDY = "a panic with panic= on the command line, a triple fault, a watchdog or kexec does this"
_RESTARTED = "a second kernel began, although no reboot was asked for"


class Ledger:
    """Weighs what lines mean. It has no clock and no lock: whoever tells it something says when that was."""

    def __init__(self, *, slowness: float, emulated: bool) -> None:
        self._slowness = slowness
        self._emulated = emulated
        self.begun = 0.0
        """When the guest was switched on, on the caller's clock: findings count from there."""
        self.recent: deque[str] = deque(maxlen=CONTEXT_BEFORE)
        self.fatal: Seen | None = None
        self.stall: Seen | None = None
        self._restart: Seen | None = None
        self._kernel_time = 0.0
        self._open: list[Seen] = []
        self._findings: list[Seen] = []
        self._suspicion = ""
        """What may be harmless, and explains what fails after it."""
        self._fatal_cause = ""
        """The cause by itself, without what explains it."""
        self._hits: dict[str, int] = {}
        self._known: dict[str, set[str]] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that did not end the boot."""
        return tuple(seen.complete() for seen in self._findings)

    @property
    def at_menu(self) -> bool:
        """Whether what may yet prove fatal is a menu: each looks like one that waits, until it boots an entry."""
        return self.stall is not None and self.stall.finding.rule in WAIT_SECONDS

    # --- lines -----------------------------------------------------------------------------------------------------

    def follow(self, text: str, now: float) -> None:
        """Lines that came: they may be what follows those that were found before. To be called first."""
        for seen in self._open:
            seen.add(lines_after(text, -1, seen.most_after - len(seen.after)), now)

    def remember(self, text: str, now: float) -> None:
        """The same lines once all that is in them was weighed."""
        self._open = [seen for seen in self._open if not seen.full and seen.due > now]
        self.recent.extend(lines_before(text, len(text), CONTEXT_BEFORE))

    def weigh(self, hit: Hit, text: str | None, now: float, *, ending: bool) -> bool:
        """A line that means something, in the text that it came in; None: the console's lines are not around it.

        Returns whether so much of its rule has been seen that it need not be looked for any more.
        """
        rule = hit.rule
        severity = rule.emulated if self._emulated and rule.emulated is not None else rule.severity
        cause = rule.explain(hit.match)
        known = self._known.setdefault(rule.id, set())
        hits = self._hits[rule.id] = self._hits.get(rule.id, 0) + 1
        if rule.explains:
            self._suspicion = self._suspicion or cause
        if severity is Severity.FATAL:
            self._weigh_fatal(hit, cause, text, now, ending=ending)
        elif rule.id in WAIT_SECONDS and self.stall is not None:
            return False
        elif severity is Severity.STALL and (self.stall is None or self.at_menu):
            self.stall = self._seen(hit, severity, cause, text, now)
            self.stall.due = now + STALL_GRACE_SECONDS * self._slowness
            known.add(cause)
        elif hits > ENOUGH_HITS or len(known) >= ENOUGH_FINDINGS:
            return True
        elif cause not in known and len(self._findings) < MAX_FINDINGS:
            known.add(cause)
            severity = Severity.WARNING if severity is Severity.STALL else severity
            self._findings.append(self._seen(hit, severity, cause, text, now))
        return False

    def _weigh_fatal(self, hit: Hit, cause: str, text: str | None, now: float, *, ending: bool) -> None:
        fatal = self.fatal
        earlier = self._earlier() if hit.rule.consequence else ""
        whole = f"{cause.rstrip()}: {earlier}" if earlier else cause
        if (fatal is None or fatal.finding.rule == PANICKED_RULE) and not ending:
            self.fatal = self._seen(hit, Severity.FATAL, whole, text, now)
            self._fatal_cause = cause
        elif fatal is not None and fatal.finding.rule == hit.rule.id and self._fatal_cause in cause:
            fatal.finding = replace(fatal.finding, cause=whole)  # the line that says what the first one did not

    def _seen(self, hit: Hit, severity: Severity, cause: str, text: str | None, now: float) -> Seen:
        """A finding with the lines around it, as far as they have come."""
        rule = hit.rule
        before = () if text is None else (*self.recent, *lines_before(text, hit.start, CONTEXT_BEFORE))
        seen = Seen(
            finding=Finding(
                rule=rule.id,
                stage=rule.stage,
                severity=severity,
                cause=cause[:SHOWN_CHARACTERS],
                remedy=rule.remedy,
                line=hit.line[:SHOWN_CHARACTERS],
                seconds=now - self.begun,
            ),
            due=now + (BLOCK_SECONDS if rule.ends else SETTLE_SECONDS),
            before=before[-CONTEXT_BEFORE:],
            most_after=BLOCK_AFTER if rule.ends else CONTEXT_AFTER,
            ends=rule.ends,
            earliest=now + SETTLE_SECONDS / 2,
        )
        seen.add(lines_after(text or "", hit.end, seen.most_after), now)
        self._open.append(seen)
        return seen

    def _earlier(self) -> str:
        """What was seen before that explains what follows from it."""
        if self.stall is not None and not self.at_menu:
            return self.stall.finding.cause
        faults = [seen.finding for seen in self._findings if seen.finding.severity is Severity.FAULT]
        return faults[0].cause if faults else self._suspicion

    # --- other than lines ------------------------------------------------------------------------------------------

    def ended(self, rule: str, stage: Stage, cause: str, *, remedy: str, line: str, now: float) -> None:
        """Something other than a line ended the boot; the first that did so counts."""
        if self.fatal is None:
            finding = Finding(
                rule=rule,
                stage=stage,
                severity=Severity.FATAL,
                cause=cause,
                remedy=remedy,
                line=line,
                seconds=now - self.begun,
            )
            settle = PANIC_LINE_SECONDS if rule == PANICKED_RULE else SETTLE_SECONDS
            self.fatal = Seen(finding, now + settle, (*self.recent,))

    def began_again(self, hit: Hit, text: str, now: float) -> None:
        """The banner of a second kernel: of one that runs, unless a log is being printed."""
        before = kernel_time((*self.recent, *lines_before(text, hit.start, CONTEXT_BEFORE)))
        if self._restart is None and before is not None:
            self._kernel_time = before
            self._restart = self._seen(hit, Severity.FATAL, _RESTARTED, text, now)
            self._restart.finding = replace(self._restart.finding, rule="unexpected-reset", remedy=RESTART_REMEDY)
            self._restart.due = now + RESTART_GRACE_SECONDS * self._slowness

    def went_on(self) -> None:
        """The boot has got to another stage: what looked like its end was none."""
        if self.stall is not None:
            if not self.at_menu:
                self._findings.append(self.stall.weighed(Severity.WARNING))
            self.stall = None

    @property
    def pending(self) -> tuple[str, ...]:
        """What may yet prove to be the end of the boot: the causes."""
        return tuple(seen.finding.cause for seen in (self.fatal, self.stall, self._restart) if seen is not None)

    def put_by(self) -> None:
        """What ended the boot is no more than a finding: another end may follow."""
        if self.fatal is not None:
            self._findings.append(self.fatal.weighed(Severity.WARNING))
        self.fatal = self.stall = None

    def reset(self) -> None:
        """The machine begins again, and may."""
        self.stall = self._restart = None

    def look(self, now: float) -> None:
        """Whether what seemed to be the end was only a word in a log, and somebody went on."""
        if self.fatal is not None and now >= self.fatal.due and self.fatal.lives_on:
            self._findings.append(self.fatal.weighed(Severity.WARNING))
            self.fatal = None

    def grace_is_over(self, now: float, last_progress: float, silence: float, quiet: float) -> None:
        """A stall after which nothing went on, or a second beginning that nobody asked for, ends the boot.

        `silence`: how long nothing was printed, in seconds of a host of normal speed. A guest that only waits gets
        no more of them on a slow host. `quiet`: the same in seconds of this one.
        """
        restart, latest = self._restart, kernel_time(self.recent)
        if restart is not None and now >= restart.due:
            self._restart = None
            # a log that was printed ends where the kernel is; a kernel that began is not there yet
            if latest is not None and latest < self._kernel_time - 1:
                self.fatal = restart
                return
        stall = self.stall
        due = 0.0 if stall is None else max(stall.due, last_progress + STALL_GRACE_SECONDS * self._slowness)
        over = now >= due or silence >= STALL_GRACE_SECONDS
        if stall is not None and self.at_menu:
            over = quiet >= WAIT_SECONDS[stall.finding.rule] * max(1.0, self._slowness / 3)
        if stall is not None and over:
            self.stall = None
            self.fatal = stall.weighed(Severity.FATAL)
            self.fatal.due = now

    # --- snapshots -------------------------------------------------------------------------------------------------

    def kept(self, stages: tuple[StageTime, ...], resets: int) -> Kept:
        """What was found, to be put back with the guest."""
        return Kept(
            stages=stages,
            findings=tuple(self._findings),
            known={rule: frozenset(causes) for rule, causes in self._known.items()},
            hits=dict(self._hits),
            resets=resets,
        )

    def put_back(self, kept: Kept) -> tuple[Finding, ...]:
        """What was found since is forgotten, and returned."""
        since = tuple(seen.complete() for seen in self._findings[len(kept.findings) :])
        self._findings = list(kept.findings)
        self._known = {rule: set(causes) for rule, causes in kept.known.items()}
        self._hits = dict(kept.hits)
        self.fatal = self.stall = self._restart = None
        self._open = []
        self.recent.clear()
        return since
