"""From a boot's report to what one item says; pure.

Every result of the report is some item's: those that no other item asks for are the last one's, so that a run can
only pass where the report passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metallize.errors import BootError
from metallize.model.assertion import Assertion
from metallize.model.report import BootReport, Entry, Result, Severity, Stage, Status
from metallize.report.text import claim_lines, finding_lines

REST = "everything else holds"


class DidNotBoot(BootError):  # noqa: N818 - it says what happened
    """The guest never came up, so that nothing could be asked of it; the item `boots` tells the whole story."""


class NotHeld(Exception):  # noqa: N818 - it says what happened
    """What an item stands for does not hold: lines for a person."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


class Skipped(Exception):  # noqa: N818 - it says what happened
    """The profile says to leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One entry of the checklist that is no assertion of the profile."""

    id: str
    name: str

    def mine(self, result: Result) -> bool:
        return result.id == self.id


def came_up(report: BootReport) -> None:
    """Raises DidNotBoot where the boot has failed; assertions that do not hold are no such failure."""
    if report.failure is not None:
        raise DidNotBoot(
            f"the guest did not boot: {report.failure.cause}",
            stage=report.stage,
            hint=f"see the item `boots`, and {report.run_folder}",
        )


def checks_of(entries: Sequence[Entry]) -> tuple[Check, ...]:
    """An item for each of these entries; `boots` and what remains come on top."""
    return tuple(Check(id=entry.id, name=entry.title) for entry in entries)


def judge_boot(report: BootReport) -> None:
    """The item `boots`. Raises NotHeld with the whole story: stage, cause, remedy, console."""
    faults = [finding for finding in report.findings if finding.severity is Severity.FAULT]
    wrong = [report.failure] if report.failure is not None else faults
    if report.passed or (not wrong and report.stage is Stage.READY):
        return
    lines = [f"the boot reached stage {report.stage} and ended there after {report.seconds:.1f} s"]
    lines += [line for finding in wrong for line in finding_lines(finding)]
    lines += ["last lines of the console:", *(f"  | {line}" for line in report.console_tail)]
    lines.append(f"run folder: {report.run_folder}")
    raise NotHeld(lines)


def judge_check(check: Check, report: BootReport) -> tuple[Result, ...]:
    """The result of one check. Raises NotHeld, Skipped, or DidNotBoot where the boot ended before anybody looked."""
    mine = tuple(result for result in report.results if check.mine(result))
    if not mine:
        came_up(report)
        raise NotHeld([f"{check.name}: it is not in the report"])
    _judge(mine, report)
    return mine


def judge_assertion(assertion: Assertion, report: BootReport) -> tuple[Result, ...]:
    """The results of one assertion, those after a reboot too. Raises NotHeld, Skipped or DidNotBoot."""
    mine = tuple(result for result in report.results if is_of(result, assertion))
    if not mine:
        came_up(report)
        raise NotHeld(
            [
                f"{assertion.title}: it was not observed, for nobody is logged in to the guest",
                "  declare boot.login or boot.ssh; with --image: --metallize-user and --metallize-password",
                f"  declared at {assertion.location}",
            ]
        )
    _judge(mine, report)
    return mine


def _judge(mine: Sequence[Result], report: BootReport) -> None:
    if all(result.status is Status.UNSEEN for result in mine):
        came_up(report)
    if all(result.status is Status.SKIPPED for result in mine):
        raise Skipped(next((result.note or result.claims[0].note for result in mine), "skipped"))
    _all_hold(mine)


def judge_rest(report: BootReport, checks: Sequence[Check], assertions: Sequence[Assertion]) -> None:
    """Whatever nobody else asks for. Raises NotHeld or DidNotBoot."""
    came_up(report)
    _all_hold(
        result
        for result in report.results
        if not any(check.mine(result) for check in checks) and not any(is_of(result, each) for each in assertions)
    )


def is_of(result: Result, assertion: Assertion) -> bool:
    """Whether a result is one of an assertion's; its place tells, whatever its title."""
    return result.kind == assertion.kind and result.location == str(assertion.location)


def _all_hold(results: Iterable[Result]) -> None:
    wrong = [result for result in results if not result.holds]
    if not wrong:
        return
    lines: list[str] = []
    for result in wrong:
        lines.append(f"{result.title} (observed over {result.observed})" if result.observed else result.title)
        lines += [f"  {line}" for line in claim_lines(result)]
        lines += [f"  {line}" for line in result.note.splitlines()]
        if result.location:
            lines.append(f"  declared at {result.location}")
    raise NotHeld(lines)
