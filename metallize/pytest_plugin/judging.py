"""From a boot's report to what one item says; pure.

Every result of the report is some item's: those that no other item asks for are the last one's, so that a run can
only pass where the report passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from metallize.errors import BootError
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot
from metallize.model.report import BootReport, Result, Severity, Stage
from metallize.report.text import claim_lines, finding_lines
from metallize.verify.phases.steps import title_of

REST = "everything else holds"
_FROM_POWER_ON = frozenset({Stage.LOGIN, Stage.READY})


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
    """One thing that a profile's `boot` promises beside its assertions: which results are its own."""

    name: str
    mine: Callable[[Result], bool]
    expected: bool = True
    """Whether there must be a result: some are only there when something is wrong."""


def came_up(report: BootReport) -> None:
    """Raises DidNotBoot where the boot has failed; assertions that do not hold are no such failure."""
    if report.failure is not None:
        raise DidNotBoot(
            f"the guest did not boot: {report.failure.cause}",
            stage=report.stage,
            hint=f"see the item `boots`, and {report.run_folder}",
        )


def checks_of(boot: Boot, *, refused: bool = False) -> tuple[Check, ...]:
    """What `boot` declares, as far as it is not an assertion; `boots` and what remains come on top.

    Of an image that must be `refused` nothing else is asked.
    """
    checks = [_titled(title_of(number, step)) for number, step in enumerate(boot.steps, start=1)]
    if refused:
        return (*checks, _titled("the image is refused"))
    if boot.login is not None:
        title = f"serial login as {boot.login.user}"
        if boot.login.password:
            checks.append(_titled(f"{title} with a wrong password"))
        checks.append(_titled(title))
    if boot.ssh is not None:
        checks.append(_titled(f"ssh login as {boot.ssh.user}"))
    if boot.login is not None or boot.ssh is not None:
        checks.append(Check(name="no unit has failed", mine=lambda result: result.kind == "unit", expected=False))
        checks.append(Check(name="system is running", mine=lambda result: result.kind == "system", expected=False))
    checks += [_titled(f"console shows /{pattern}/") for pattern in boot.console.require]
    checks += [_titled(f"reach {target}") for target in boot.reach]
    budgets = boot.time.model_dump(exclude_none=True, exclude={"units"})
    checks += [_titled(f"time {'to' if name in _FROM_POWER_ON else 'in'} {name}") for name in budgets]
    checks += [_titled(f"time of {unit}") for unit in boot.time.units]
    if boot.reboot:
        checks.append(_titled("clean reboot"))
    return tuple(checks)


def _titled(title: str) -> Check:
    """By its title, the one after a reboot too."""
    return Check(name=title, mine=lambda result: result.title == title or result.title.startswith(f"{title} after "))


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
    """The results of one check. Raises NotHeld, or DidNotBoot where the boot ended before there were any."""
    mine = tuple(result for result in report.results if check.mine(result))
    if not mine and check.expected:
        came_up(report)
        if not report.passed:
            raise NotHeld([f"{check.name}: the boot ended before this was looked at"])
    if not mine and not check.expected:
        came_up(report)
    _all_hold(mine)
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
    if all(claim.skipped for result in mine for claim in result.claims):
        raise Skipped(next((claim.note for result in mine for claim in result.claims), "skipped"))
    _all_hold(mine)
    return mine


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
