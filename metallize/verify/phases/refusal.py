"""An image that must not boot: it passes only where firmware or loader refuse it, for a rule that says so.

A boot that goes on is no refusal, nor is one that crashes later; and that nothing was seen in time proves nothing,
unless the profile names just that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from metallize.console.rules import refusals
from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Watch
from metallize.model.kind import Claim
from metallize.model.outcome import Outcome
from metallize.model.report import Entry, Finding, Result, Severity, Stage
from metallize.patience import REFUSAL_LEAST as LEAST_SECONDS
from metallize.verify.checklist import Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

BOOTED = "not-refused"
STOPPED = ("guest-shutdown", "unexpected-reset", "bios-nothing-started", "silent-console", "stage-timeout")
"""What may follow a refusal and is its end as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What became of the boot: the judgement, and why it failed where it did."""

    result: Result
    failure: Finding | None


def plan(_request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """The only thing that is asked of it."""
    return (turn.entry("refusal", "the image is refused", "refused"),)


def run(session: BootSession) -> None:
    """Watch the boot. Raises GuestFailed when it is not refused as it must be."""
    expected, watch = session.request.refusal, session.guest.watch
    if expected is None:
        raise AssertionError("the image must boot")
    stays = max(LEAST_SECONDS, session.request.boot.settle.total_seconds()) * watch.slowness
    refusal = await_refusal(session.entry("refusal"), expected, watch, session.deadline, stays=stays)
    session.checklist.settle(refusal.result)
    if refusal.failure is not None:
        raise GuestFailed(refusal.failure)
    session.ready_seconds = watch.seconds
    watch.go_on()
    watch.ending()  # it was the end: what a machine that waits there does not print is no failure


def await_refusal(entry: Entry, expected: Outcome, watch: Watch, deadline: Deadline, *, stays: float) -> Refusal:
    """Watch the boot until it is refused, or gets as far as a kernel, or the time is over.

    A refusal is the end only where nothing goes on within `stays` seconds: no other boot entry, no kernel. That the
    machine stops, or is reset into the same refusal, is its end too.
    """
    ended: Finding | None = None
    while True:
        try:
            limit = deadline if ended is None else Deadline.after(stays, "the refusal to be the end")
            booted = watch.wait(lambda: True if watch.stage.rank >= Stage.KERNEL.rank else None, limit)
        except GuestFailed as failed:
            refusal = judge_refusal(entry, expected, failed.finding)
            if refusal.failure is not None:
                over = ended is not None and failed.finding.rule in STOPPED
                return judge_refusal(entry, expected, ended) if over and ended is not None else refusal
            if ended is not None and deadline.expired:
                return refusal  # reset into it again and again: that is no boot
            ended = ended or failed.finding
            watch.go_on()
            continue
        if not booted and ended is not None:
            return judge_refusal(entry, expected, ended)
        break
    seconds = watch.seconds
    if booted and ended is not None:
        cause = f"the image was refused ({ended.rule}: {ended.cause}), and then it booted as far as stage {watch.stage}"
        remedy = "a refusal that is not the end keeps nobody out: something else on the machine boots the image"
        finding = _finding(BOOTED, watch.stage, cause, remedy, seconds)
    elif booted:
        cause = f"the image was not refused: it booted as far as stage {watch.stage}"
        remedy = "boot.expect says that firmware or loader must refuse it"
        finding = _finding(BOOTED, watch.stage, cause, remedy, seconds)
    else:
        cause = f"nothing refused the image within {seconds:.0f} s: the boot got as far as stage {watch.stage}"
        remedy = "silence is no refusal; boot.expect: {refused: timeout} takes it for one"
        finding = _finding("timeout", watch.stage, cause, remedy, seconds)
    return judge_refusal(entry, expected, finding)


def judge_refusal(entry: Entry, expected: Outcome, finding: Finding) -> Refusal:
    """Whether what ended the boot is a refusal that counts; pure."""
    wanted = expected.refused or default_refusals()
    holds = finding.rule in wanted
    claim = Claim(
        attribute="refused",
        expected=f"refused by {_named(wanted)}" if expected.refused else "refused by firmware or loader",
        actual=f"{finding.rule}: {finding.cause}" + (f" ({finding.line.strip()})" if finding.line else ""),
        holds=holds,
    )
    result = entry.judged(
        claim, observed="console", seconds=finding.seconds, note=f"{finding.rule}: {finding.cause}" if holds else ""
    )
    return Refusal(result=result, failure=None if holds else finding)


def default_refusals() -> Collection[str]:
    """The rules that count where the profile names none: what firmware or loader say, and no silence."""
    return tuple(name for name, by_default in refusals().items() if by_default)


def _named(rules: Collection[str]) -> str:
    return " or ".join(rules)


def _finding(rule: str, stage: Stage, cause: str, remedy: str, seconds: float) -> Finding:
    return Finding(rule=rule, stage=stage, severity=Severity.FATAL, cause=cause, remedy=remedy, seconds=seconds)
