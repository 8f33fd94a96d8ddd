"""report.html: one run on one page, the cause of a failure first."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import PurePath

from metallize.model.report import BootReport, Finding, Result, Severity, Stage, Status
from metallize.report.console_view import MarkedConsole, console_part, console_parts, mark_console
from metallize.report.next_steps import next_step
from metallize.report.page import Markup, document, element, folded, joined, mark, seconds, section, size
from metallize.report.run_folder import RESCUED, RunFolder
from metallize.report.run_tables import assertion_tables, stage_table
from metallize.report.text import counted, not_looked_at

Consoles = Sequence[tuple[str, MarkedConsole]]
"""By name: that of the first boot has none."""
SHOWN_FAILURES = 8
"""At the top; all of them are in the table."""
_FILES = {
    "argv.txt": "QEMU's arguments, one a line",
    "console.log": "the serial console's raw bytes",
    "console.txt": "the serial console, clean, with times",
    "diagnosis.txt": "what the guest showed of its network and logins",
    "dmesg.txt": "the kernel's log",
    "emergency.txt": "collected in the emergency shell",
    "initramfs.txt": "collected at the initramfs prompt",
    "journal.txt": "the journal of this boot",
    "junit.xml": "for CI",
    "net.pcap": "the network card's packets",
    "qemu.log": "QEMU's own messages",
    "qmp.log": "QEMU's monitor: commands and events",
    "report.json": "this report as data",
    "repro.sh": "boots the same machine by hand",
    "screenshot.png": "the display at the end",
    "units.txt": "failed units, jobs, start time by service",
}


def run_page(report: BootReport, folder: RunFolder) -> str:
    """The whole page; pure."""
    faults = [finding for finding in report.findings if finding.severity is Severity.FAULT]
    causes = [*([report.failure] if report.failure is not None else ()), *faults]
    others = [finding for finding in report.findings if finding.severity is not Severity.FAULT]
    consoles = _mark_consoles(folder, [*causes, *others])
    return document(
        f"{report.verdict}: {report.image.name} on {report.machine}",
        _head(report),
        _why(report, causes, consoles),
        stage_table(report),
        assertion_tables(report.results),
        _rescued(folder),
        _warnings(others, consoles),
        _console(report, consoles),
        _screenshot(report, folder),
        _notes(report),
        _reproduce(report, folder),
        _files(folder),
    )


def _mark_consoles(folder: RunFolder, findings: Sequence[Finding]) -> Consoles:
    """The first boot's console, then those of later ones; what a later one shows too is marked there."""
    left = list(findings)
    marked: list[tuple[str, MarkedConsole]] = []
    every = [("", folder.console), *folder.later]
    for number, (name, console) in reversed(list(enumerate(every))):
        found = mark_console(console, left, prefix=f"line-{number}-" if number else "line-")
        left = [finding for finding in left if found.place_of(finding) is None]
        marked.insert(0, (name, found))
    return marked


def _place(consoles: Consoles, finding: Finding) -> str | None:
    """The id of the finding's line on the page, where one of the consoles shows it."""
    return next((place for _, console in consoles if (place := console.place_of(finding)) is not None), None)


def _head(report: BootReport) -> Markup:
    accelerator = report.accelerator
    facts = [
        ("Stage reached", str(report.stage)),
        ("Power-on to verdict", seconds(report.seconds)),
        ("Checks", counted(report.results).replace(" checks hold", " hold")),
        ("Booted as", f"{report.media}, {accelerator.name.upper()}"),
        ("When", report.started.replace("T", " ").replace("+00:00", " UTC") or "-"),
    ]
    return element(
        "header",
        element("p", "Metallize boot report", class_="kind"),
        element(
            "h1",
            element("span", mark(report.verdict), str(report.verdict).upper(), class_=f"badge {report.verdict}"),
            " ",
            element("span", f"{report.image.name} on {report.machine}"),
        ),
        element("dl", *(element("div", element("dt", name), element("dd", text)) for name, text in facts)),
    )


def _why(report: BootReport, causes: Sequence[Finding], consoles: Consoles) -> Markup:
    failed = [result for result in report.failed_results if not not_looked_at(result, report)]
    if report.passed:
        return section("cause", "What was seen", element("p", _passed(report), class_="headline"), class_="passed")
    parts: list[str] = [_cause(finding, consoles) for finding in causes[:1]]
    if causes[1:]:
        items = (_found_too(finding, consoles) for finding in sorted(causes[1:], key=lambda other: other.seconds))
        parts.append(element("p", "Found as well, in the order of the boot:"))
        parts.append(element("ul", *items, class_="failures"))
    if failed:
        count, every = len(failed), len(report.results)
        verb = "does" if count == 1 else "do"
        words = f"{count} of {every} check{'s' if every > 1 else ''} {verb} not hold"
        parts.append(element("p", words, class_=None if causes else "headline"))
        parts.append(element("ul", *(_short(result) for result in failed[:SHOWN_FAILURES]), class_="failures"))
        if count > SHOWN_FAILURES:
            parts.append(element("p", element("a", f"and {count - SHOWN_FAILURES} more", href="#assertions")))
    if not parts:
        parts.append(element("p", f"The boot got as far as stage {report.stage}, and no further.", class_="headline"))
    return section("cause", "Why it failed", *parts, class_="failed")


def _passed(report: BootReport) -> str:
    count = len(report.results)
    refused = next((result for result in report.results if result.kind == "refused"), None)
    if refused is not None:
        return f"The image was refused, as it must be: {refused.note or refused.title}"
    ready = next((item.seconds for item in report.stages if item.stage is Stage.READY), None)
    when = "" if ready is None else f" and was ready after {seconds(ready)}"
    asked = f", and every check holds ({count})"
    return f"The image booted{when}{asked}."


def _cause(finding: Finding, consoles: Consoles) -> Markup:
    where = f"In stage {finding.stage}, {seconds(finding.seconds)} after power-on"
    cause = finding.cause[:1].upper() + finding.cause[1:]
    around = finding.context or ((finding.line,) if finding.line else ())
    place = _place(consoles, finding)
    link = element("a", "see it in the whole console", href=f"#{place}") if place else None
    excerpt = None
    if around:
        excerpt = element(
            "figure",
            element("figcaption", "On the console ", link),
            element("pre", *_excerpt(around, finding.line), class_="console", tabindex="0"),
        )
    remedy = element("p", element("strong", "What to do: "), finding.remedy) if finding.remedy else None
    return element(
        "div",
        element("p", where, class_="where"),
        element("p", cause, class_="headline"),
        remedy,
        excerpt,
        class_="one-cause",
    )


def _found_too(finding: Finding, consoles: Consoles) -> Markup:
    place = _place(consoles, finding)
    when = f" ({seconds(finding.seconds)})"
    line = element("code", finding.line.strip()[:300])
    shown = element("a", line, href=f"#{place}") if place else line
    return element("li", mark("failed"), finding.cause, when, element("span", shown, class_="muted"))


def _excerpt(around: Sequence[str], line: str) -> Iterable[Markup]:
    for text, same in groupby(text for text in around if text.strip()):
        count = len(list(same))
        times = element("em", f"  ({count} times)", class_="muted") if count > 1 else None
        if text == line:
            yield joined(element("mark", "\N{HEAVY MULTIPLICATION X} ", text[:1000], times, class_="failed"), "\n")
        else:
            yield joined("  ", text[:1000], times, "\n")


def _short(result: Result) -> Markup:
    wrong = next((claim for claim in result.claims if not claim.holds), None)
    text = f": {wrong.attribute}: expected {wrong.expected}, found {wrong.actual}" if wrong is not None else ""
    if wrong is not None and wrong.note:
        text += f" ({wrong.note})"
    note = element("span", result.note, class_="muted") if result.note else None
    # the space is for those who copy the text; within the note, which keeps its white space, it would be seen
    step = element("span", f"Next: {next_step(result)}", class_="muted")
    unseen = " was not seen" if result.status is Status.UNSEEN else ""
    return element("li", mark("failed"), element("strong", result.title), unseen, text, " ", note, " ", step)


def _rescued(folder: RunFolder) -> Markup | None:
    parts = [
        folded(f"{_what(name)} ({name})", element("pre", text, class_="console", tabindex="0"), open_=True)
        for name, text in folder.texts
        if PurePath(name).name in RESCUED
    ]
    return section("rescued", "Collected where the boot stopped", *parts) if parts else None


def _warnings(findings: Sequence[Finding], consoles: Consoles) -> Markup | None:
    if not findings:
        return None
    items = []
    for finding in findings:
        place = _place(consoles, finding)
        line = element("code", finding.line.strip()[:500])
        shown = element("a", line, href=f"#{place}") if place else line
        items.append(element("li", f"{finding.cause} ({seconds(finding.seconds)}): ", shown))
    return section("warnings", "Warnings", element("ul", *items))


def _console(report: BootReport, consoles: Consoles) -> Markup:
    (_, first), *later = consoles
    if not first.lines and not later:
        return section("console", "Console", element("p", "Nothing was printed on the serial console."))
    parts = [console_part(console, name, 0, len(console.lines)) for name, console in later if console.lines]
    return section("console", "Console", console_parts(report, first), *parts)


def _screenshot(report: BootReport, folder: RunFolder) -> Markup | None:
    if not folder.screenshot:
        return None
    source = f"data:image/png;base64,{base64.b64encode(folder.screenshot).decode()}"
    image = element("img", src=source, alt=f"The guest's display when the boot had {report.verdict}")
    return section("screenshot", "Display", element("figure", image))


def _notes(report: BootReport) -> Markup:
    accelerator = report.accelerator
    machine = f"{accelerator.name.upper()} with -cpu {accelerator.cpu}: {accelerator.reason}"
    emulator = f"QEMU {report.qemu}" if report.qemu else None
    held_late = [f"{result.title} {result.note}" for result in report.results if result.holds and result.note]
    items = [*report.notes, *held_late, machine, *([emulator] if emulator else ())]
    return section("notes", "Notes", element("ul", *(element("li", text) for text in items)))


def _reproduce(report: BootReport, folder: RunFolder) -> Markup:
    command = f"sh {shlex.quote(str(report.run_folder / 'repro.sh'))}"
    argv = (
        folded("QEMU's arguments", element("pre", shlex.join(folder.argv), class_="wrapped")) if folder.argv else None
    )
    words = "Boots the same machine by hand, serial port on the terminal; the image is not changed."
    return section("reproduce", "Reproduce", element("p", words), element("pre", command, class_="wrapped"), argv)


def _files(folder: RunFolder) -> Markup | None:
    names = dict(folder.files)
    if not names:
        return None
    units = [
        folded(f"{_what(name)} ({name})", element("pre", text, class_="console", tabindex="0"))
        for name, text in folder.texts
        if PurePath(name).name not in RESCUED
    ]
    rows = [
        element("li", element("a", name, href=f"./{name}"), f" {_what(name)} ",
                element("span", f"({size(count)})", class_="muted"))
        for name, count in names.items() if name != "report.html"
    ]  # fmt: skip
    return section("files", "Files", element("ul", *rows, class_="files"), *units)


def _what(name: str) -> str:
    """What a file of the run folder, or of a part of it, holds; empty for one that is not known."""
    return _FILES.get(PurePath(name).name, "")
