"""The console on the page: by stage, each folded, with the lines that meant something marked and reachable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metallize.model.report import BootReport, Finding, Severity, Stage
from metallize.report.page import Markup, element, folded, joined, size
from metallize.report.run_folder import Console, ConsoleLine

SHOWN_CHARACTERS = 500
"""Of one line."""
CLOCK_SECONDS = 0.001
"""console.txt tells the time in milliseconds; a stage begins with the line that shows it."""
_SIGNS = {Severity.FATAL: "failed", Severity.STALL: "failed", Severity.FAULT: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedConsole:
    """The lines that are shown, and which of them a finding is about."""

    lines: tuple[ConsoleLine, ...]
    prefix: str
    """Of the ids of its lines on the page."""
    gap: int | None
    """The index before which something is left out."""
    left_out_bytes: int
    marks: Mapping[int, Finding]

    def place_of(self, finding: Finding) -> str | None:
        """The id of the finding's line on the page, where it is shown."""
        return next((f"{self.prefix}{index}" for index, marked in self.marks.items() if marked is finding), None)


def mark_console(console: Console, findings: Sequence[Finding], *, prefix: str = "line-") -> MarkedConsole:
    """Find each finding's own line: the one of its text that came nearest to its time; pure."""
    lines = (*console.head, *console.tail)
    places: dict[str, list[int]] = {finding.line.strip(): [] for finding in findings if finding.line.strip()}
    for index, line in enumerate(lines):
        found = places.get(line.text.strip())
        if found is not None:
            found.append(index)
    marks: dict[int, Finding] = {}
    for finding in findings:
        candidates = [index for index in places.get(finding.line.strip(), ()) if index not in marks]
        if candidates:
            nearest = min(candidates, key=lambda index: abs(lines[index].seconds - finding.seconds))
            marks[nearest] = finding
    return MarkedConsole(
        lines=lines,
        prefix=prefix,
        gap=len(console.head) if console.left_out_bytes else None,
        left_out_bytes=console.left_out_bytes,
        marks=dict(sorted(marks.items())),
    )


def console_parts(report: BootReport, console: MarkedConsole) -> Markup:
    """One folded block for each stage; those with a failure in them are open."""
    return joined(*(console_part(console, name, first, last) for name, first, last in _by_stage(report, console.lines)))


def console_part(console: MarkedConsole, name: str, first: int, last: int) -> Markup:
    """The lines from the first to the one before the last, folded unless a failure is among them."""
    marked = [console.marks[index] for index in range(first, last) if index in console.marks]
    bad = sum(finding.severity in _SIGNS for finding in marked)
    begun, ended = console.lines[first].seconds, console.lines[last - 1].seconds
    count = last - first
    summary = joined(
        element("strong", name),
        f" {begun:.1f} to {ended:.1f} s, {count} line{'s' if count > 1 else ''}",
        element("span", f" {bad} failure{'s' if bad > 1 else ''} marked", class_="failed") if bad else None,
    )
    rows = (_row(console, index) for index in range(first, last))
    body = element("pre", *rows, class_="console", tabindex="0")
    return folded(summary, body, open_=bool(bad))


def _by_stage(report: BootReport, lines: Sequence[ConsoleLine]) -> list[tuple[str, int, int]]:
    """Names with the first line and the one after the last.

    What came before a reboot has a part of its own, and so has what came when evidence was collected.
    """
    parts: list[tuple[str, int, int]] = []
    edges = [(str(item.stage), item.seconds) for item in report.stages if item.stage is not Stage.QEMU]
    edges = [*(edges or [("console", 0.0)]), ("after the verdict", report.seconds)]
    first = 0
    if lines and lines[0].seconds + CLOCK_SECONDS < edges[0][1]:
        begun = edges[0][1] - CLOCK_SECONDS
        first = next((index for index, line in enumerate(lines) if line.seconds >= begun), len(lines))
        parts.append(("before", 0, first))
    for number, (name, _) in enumerate(edges):
        end = edges[number + 1][1] if number + 1 < len(edges) else float("inf")
        last = first
        while last < len(lines) and lines[last].seconds + CLOCK_SECONDS < end:
            last += 1
        if last > first:
            parts.append((name, first, last))
        first = last
    return parts


def _row(console: MarkedConsole, index: int) -> Markup:
    line = console.lines[index]
    finding = console.marks.get(index)
    text = line.text if len(line.text) <= SHOWN_CHARACTERS else f"{line.text[:SHOWN_CHARACTERS]} ..."
    stamp = element("span", f"{line.seconds:8.3f}  ", class_="stamp")
    gap = None
    if index == console.gap:
        gap = element("em", f"... {size(console.left_out_bytes)} left out: see console.txt ...\n", class_="gap")
    if finding is None:
        return joined(gap, stamp, text, "\n")
    weight = _SIGNS.get(finding.severity, "warning")
    sign = "\N{HEAVY MULTIPLICATION X} " if weight == "failed" else "! "
    body = element("mark", sign, text, id=f"{console.prefix}{index}", class_=weight, title=finding.cause)
    return joined(gap, stamp, body, "\n")
