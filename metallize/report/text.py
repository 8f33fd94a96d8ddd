"""A boot's report as lines for a terminal: what failed first, then why, then where to look."""

from __future__ import annotations

from collections.abc import Sequence

from metallize.model.report import BootReport, Finding, Result, Severity, Status
from metallize.model.visible import visible
from metallize.report.next_steps import next_step


def report_lines(report: BootReport) -> list[str]:
    """The whole summary of one machine; a report that passed is short."""
    stages = "  ".join(f"{item.stage} {item.seconds:.1f}" for item in report.stages[1:])
    accelerator = report.accelerator
    lines = [
        (
            f"{report.machine}: {report.verdict.upper()} after {report.seconds:.1f} s, "
            f"{counted(report.results)} ({accelerator.name}, {report.media})"
        ),
        f"  stages (s): {stages}",
    ]
    if not report.passed:
        lines += [f"  {line}" for line in failure_lines(report)]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [
        f"  note: {result.title}: {result.note}"
        for result in report.results
        if result.status is Status.HELD and result.note
    ]
    lines += [
        f"  warning: {finding.cause} ({finding.line.strip()})"
        for finding in report.findings
        if finding.severity is not Severity.FAULT
    ]
    if not report.passed:
        lines += ["  last lines of the console:", *(f"    | {line}" for line in report.console_tail)]
    lines.append(f"  run folder: {report.run_folder}")
    return [visible(line) for line in lines]


def failure_lines(report: BootReport) -> list[str]:
    """What failed, expected against actual; empty for a report that passed."""
    lines: list[str] = []
    if report.failure is not None:
        lines += finding_lines(report.failure)
    for finding in report.findings:
        if finding.severity is Severity.FAULT:
            lines += finding_lines(finding)
    unlooked = [result for result in report.failed_results if not_looked_at(result, report)]
    for result in report.failed_results:
        if result not in unlooked:
            lines += result_lines(result)
    if unlooked:
        lines.append(
            f"UNSEEN {len(unlooked)} of {len(report.results)}: the boot had failed before anybody looked at them"
        )
    if lines:
        lines.insert(0, f"the boot reached stage {report.stage}")
    return [visible(line) for line in lines]


def counted(results: Sequence[Result]) -> str:
    """How many of the checks hold, and what became of the others."""
    held = sum(result.status is Status.HELD for result in results)
    others = ((Status.SKIPPED, "skipped"), (Status.UNSEEN, "unseen"))
    said = [f"{held} of {len(results)} checks hold"]
    for status, word in others:
        count = sum(result.status is status for result in results)
        said += [f"{count} {word}"] if count else []
    return ", ".join(said)


def not_looked_at(result: Result, report: BootReport) -> bool:
    """Whether it is unseen only because the boot had failed before: that failure is what tells."""
    return report.failure is not None and result.status is Status.UNSEEN and not result.observed


def result_lines(result: Result) -> list[str]:
    """One result that does not hold: what was expected and found, why, and what to do next."""
    where = f"  [{result.location}]" if result.location else ""
    return [
        f"{'UNSEEN' if result.status is Status.UNSEEN else 'FAILED'} {result.title}{where}",
        *(f"    {line}" for line in claim_lines(result)),
        *(f"    {line}" for line in result.note.splitlines()),
        f"    next: {next_step(result)}",
    ]


def finding_lines(finding: Finding) -> list[str]:
    """One finding: the cause, the remedy, and the lines around it with its own marked."""
    lines = [f"FAILED in stage {finding.stage} after {finding.seconds:.1f} s: {finding.cause}"]
    if finding.remedy:
        lines.append(f"    {finding.remedy}")
    around = finding.context or ((finding.line,) if finding.line else ())
    lines += [f"    {'>' if line == finding.line else '|'} {line}" for line in around]
    return lines


def claim_lines(result: Result) -> list[str]:
    """The claims that do not hold: expected against actual."""
    return [
        f"{claim.attribute}: expected {claim.expected}, found {claim.actual}"
        + (f" ({claim.note})" if claim.note else "")
        for claim in result.claims
        if not claim.holds
    ]
