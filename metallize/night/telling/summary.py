"""What became of a night's cells: a line each, and as JUnit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree as ET

from metallize.model.report import BootReport
from metallize.model.visible import visible
from metallize.night.attempt import Attempt
from metallize.night.outcomes import CellNight, Outcome, cell_nights
from metallize.report.junit import as_xml, clean, junit_tree

_KIND = {
    Outcome.FAIL: "failure",
    Outcome.FLAKY: "failure",
    Outcome.ERROR: "error",
    Outcome.MISS: "error",
    Outcome.SKIP: "skipped",
}


def summary(attempts: Iterable[Attempt]) -> Iterator[tuple[CellNight, str]]:
    """A line for each cell of a night, what is good first."""
    nights = sorted(cell_nights(attempts), key=lambda each: (each.outcome.bad, each.cell))
    width = max((len(str(each.cell)) for each in nights), default=0)
    for each in nights:
        yield each, visible(f"{each.outcome:5}  {each.cell!s:{width}}  {_told(each)}".rstrip())


def _told(night: CellNight) -> str:
    attempt = night.decisive
    if night.outcome is Outcome.PASS:
        return f"ready after {attempt.ready_seconds:.1f} s" if attempt.ready_seconds is not None else ""
    tries = f", in {len(night.attempts)} attempts" if len(night.attempts) > 1 else ""
    known = f" (known: {night.known_issue})" if night.known_issue else ""
    return f"{attempt.reason}{tries}{known}"


def night_junit(attempts: Sequence[Attempt], reports: Sequence[BootReport]) -> str:
    """The whole night as one document: a suite that has a case for each cell, and a suite for each boot of this run.

    A night that went on after an interruption has the cells from before in the first suite alone. A failure that is
    known is skipped there, with its reference, and its boots have no suite: it does not count.
    """
    known = {each.run_folder for each in attempts if each.known_issue}
    root = junit_tree(report for report in reports if str(report.run_folder) not in known)
    suite = ET.Element("testsuite", name="nightly")
    root.insert(0, suite)
    seconds = 0.0
    for night, _ in summary(attempts):
        took = sum(each.metrics.get("seconds", 0.0) for each in night.attempts)
        seconds += took
        case = ET.SubElement(suite, "testcase", classname=clean(f"metallize.nightly.{night.cell.name}"))
        case.set("name", clean(night.cell.machine or "no machine"))
        case.set("time", f"{took:.3f}")
        kind = "skipped" if night.known_issue else _KIND.get(night.outcome)
        if kind is not None:
            ET.SubElement(case, kind, message=clean(f"{night.outcome}: {_told(night)}"))
        folders = [each.run_folder for each in night.attempts if each.run_folder]
        if folders:
            ET.SubElement(case, "system-out").text = clean("\n".join(folders))
    suite.set("time", f"{seconds:.3f}")
    return as_xml(root)
