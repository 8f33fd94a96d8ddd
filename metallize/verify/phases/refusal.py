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
from metallize.model.report import Finding, Result, Severity, Stage

BOOTED = "not-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What became of the boot: the judgement, and why it failed where it did."""

    result: Result
    failure: Finding | None


def await_refusal(expected: Outcome, watch: Watch, deadline: Deadline) -> Refusal:
    """Watch the boot until it is refused, or gets as far as a kernel, or the time is over."""
    try:
        booted = watch.wait(lambda: True if watch.stage.rank >= Stage.KERNEL.rank else None, deadline)
    except GuestFailed as failed:
        return judge_refusal(expected, failed.finding)
    seconds = watch.seconds
    if booted:
        cause = f"the image was not refused: it booted as far as stage {watch.stage}"
        remedy = "boot.expect says that firmware or loader must refuse it"
        finding = _finding(BOOTED, watch.stage, cause, remedy, seconds)
    else:
        cause = f"nothing refused the image within {seconds:.0f} s: the boot got as far as stage {watch.stage}"
        remedy = "silence is no refusal; boot.expect: {refused: timeout} takes it for one"
        finding = _finding("timeout", watch.stage, cause, remedy, seconds)
    return judge_refusal(expected, finding)


def judge_refusal(expected: Outcome, finding: Finding) -> Refusal:
    """Whether what ended the boot is a refusal that counts; pure."""
    wanted = expected.refused or default_refusals()
    holds = finding.rule in wanted
    claim = Claim(
        attribute="refused",
        expected=f"refused by {_named(wanted)}" if expected.refused else "refused by firmware or loader",
        actual=f"{finding.rule}: {finding.cause}" + (f" ({finding.line.strip()})" if finding.line else ""),
        holds=holds,
    )
    result = Result(
        title="the image is refused",
        kind="refused",
        holds=holds,
        claims=(claim,),
        observed="console",
        seconds=round(finding.seconds, 3),
        note=f"{finding.rule}: {finding.cause}" if holds else "",
    )
    return Refusal(result=result, failure=None if holds else finding)


def default_refusals() -> Collection[str]:
    """The rules that count where the profile names none: what firmware or loader say, and no silence."""
    return tuple(name for name, by_default in refusals().items() if by_default)


def _named(rules: Collection[str]) -> str:
    return " or ".join(rules)


def _finding(rule: str, stage: Stage, cause: str, remedy: str, seconds: float) -> Finding:
    return Finding(rule=rule, stage=stage, severity=Severity.FATAL, cause=cause, remedy=remedy, seconds=seconds)
