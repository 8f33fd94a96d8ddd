"""report.html: one run on one page, the cause of a failure first."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby

from metallize.model.report import BootReport, Finding, Result, Severity, Stage, StageTime
from metallize.report.console_view import MarkedConsole, console_parts, mark_console
from metallize.report.page import Markup, document, element, folded, joined, mark, seconds, section, size
from metallize.report.run_folder import RESCUED, RunFolder

SHOWN_FAILURES = 8
"""At the top; all of them are in the table."""
_FILES = {
    "argv.txt": "QEMU's arguments, one a line",
    "console.log": "the serial console's raw bytes",
    "console.txt": "the serial console, clean, with times",
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
    "units.txt": "failed units, jobs, boot time by unit",
}


def run_page(report: BootReport, folder: RunFolder) -> str:
    """The whole page; pure."""
    faults = [finding for finding in report.findings if finding.severity is Severity.FAULT]
    causes = [*([report.failure] if report.failure is not None else ()), *faults]
    others = [finding for finding in report.findings if finding.severity is not Severity.FAULT]
    console = mark_console(folder.console, [*causes, *others])
    return document(
        f"{report.verdict}: {report.image.name} on {report.machine}",
        _head(report),
        _why(report, causes, console),
        _stages(report),
        _assertions(report.results),
        _rescued(folder),
        _diagnosis(report),
        _warnings(others, console),
        _console(report, console),
        _screenshot(report, folder),
        _notes(report),
        _reproduce(report, folder),
        _files(folder),
    )


def _head(report: BootReport) -> Markup:
    held = sum(result.holds for result in report.results)
    accelerator = report.accelerator
    facts = [
        ("Stage reached", str(report.stage)),
        ("Power-on to verdict", seconds(report.seconds)),
        ("Assertions", f"{held} of {len(report.results)} hold" if report.results else "none were asked"),
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


def _why(report: BootReport, causes: Sequence[Finding], console: MarkedConsole) -> Markup:
    failed = report.failed_results
    if report.passed:
        ready = next((item.seconds for item in report.stages if item.stage is Stage.READY), None)
        text = f"The image booted{f' and was ready after {seconds(ready)}' if ready is not None else ''}"
        count = len(report.results)
        claim = f", and every assertion holds ({count})." if count else "; nothing more was asked of it."
        return section("cause", "What was seen", element("p", text, claim, class_="headline"), class_="passed")
    parts: list[str] = [_cause(finding, console) for finding in causes[:1]]
    if causes[1:]:
        items = (_found_too(finding, console) for finding in sorted(causes[1:], key=lambda other: other.seconds))
        parts.append(element("p", "Found as well, in the order of the boot:"))
        parts.append(element("ul", *items, class_="failures"))
    if failed:
        count, every = len(failed), len(report.results)
        verb = "does" if count == 1 else "do"
        words = f"{count} of {every} assertion{'s' if every > 1 else ''} {verb} not hold"
        parts.append(element("p", words, class_=None if causes else "headline"))
        parts.append(element("ul", *(_short(result) for result in failed[:SHOWN_FAILURES]), class_="failures"))
        if count > SHOWN_FAILURES:
            parts.append(element("p", element("a", f"and {count - SHOWN_FAILURES} more", href="#assertions")))
    if not parts:
        parts.append(element("p", f"The boot got as far as stage {report.stage}, and no further.", class_="headline"))
    return section("cause", "Why it failed", *parts, class_="failed")


def _cause(finding: Finding, console: MarkedConsole) -> Markup:
    where = f"In stage {finding.stage}, {seconds(finding.seconds)} after power-on"
    cause = finding.cause[:1].upper() + finding.cause[1:]
    around = finding.context or ((finding.line,) if finding.line else ())
    place = console.place_of(finding)
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


def _found_too(finding: Finding, console: MarkedConsole) -> Markup:
    place = console.place_of(finding)
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
    note = element("span", f" {result.note}", class_="muted") if result.note else None
    return element("li", mark("failed"), element("strong", result.title), text, note)


def _stages(report: BootReport) -> Markup:
    end = max(report.seconds, report.stages[-1].seconds if report.stages else 0.0, 0.001)
    failed_in = None if report.passed or report.failure is None else report.stage
    until = dict(zip(report.stages, [item.seconds for item in report.stages[1:]] + [end], strict=False))
    begun = {item.stage: item for item in report.stages}
    rows = []
    for stage in Stage:
        item = begun.get(stage)
        if item is not None:
            rows.append(_stage_row(item, until[item], end, failed=stage is failed_in))
        elif stage is not Stage.QEMU:
            never = "not seen" if stage.rank < report.stage.rank else "not reached"
            cells = (element("td"), element("td", never, colspan="2"))
            rows.append(element("tr", element("th", stage, scope="row"), *cells, class_="never"))
    slowness = report.accelerator.slowness
    speed = "This host runs guests at normal speed."
    if slowness > 1:
        speed = (
            f"This host measured {slowness:.1f} times slower than one of normal speed: {seconds(end)} here are about "
            f"{seconds(end / slowness)} there."
        )
    heads = (element("th", text, scope="col") for text in ("Stage", "Time line", "Began at", "Took"))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="stages")
    return section("stages", "Stages", element("p", speed, class_="muted"), table)


def _stage_row(item: StageTime, until: float, end: float, *, failed: bool) -> Markup:
    begun = 100 * item.seconds / end
    width = max(0.4, 100 * (until - item.seconds) / end)
    bar = element("span", class_="bar", style=f"margin-left:{min(begun, 99.6):.2f}%;width:{width:.2f}%")
    return element(
        "tr",
        element("th", mark("failed") if failed else None, item.stage, scope="row"),
        element("td", element("span", bar, class_="track"), aria_hidden="true"),
        element("td", seconds(item.seconds), class_="number"),
        element("td", seconds(until - item.seconds), class_="number"),
        class_="failed" if failed else None,
    )


def _assertions(results: Sequence[Result]) -> Markup | None:
    if not results:
        return None
    failed = [result for result in results if not result.holds]
    good = [result for result in results if result.holds]
    parts: list[Markup] = []
    if failed:
        parts.append(_table(failed))
    if good:
        table = _table(good)
        words = f"{len(good)} that hold{'s' if len(good) == 1 else ''}"
        parts.append(folded(words, table, open_=not failed))
    return section("assertions", "Assertions", *parts)


def _table(results: Sequence[Result]) -> Markup:
    heads = ("Assertion", "Expected", "Found", "Seen over", "Seconds")
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("table", head, *(_rows(result) for result in results), class_="assertions")


def _rows(result: Result) -> Markup:
    """A group of rows: one for each claim, the assertion's own cells beside the first."""
    claims = sorted(result.claims, key=lambda claim: claim.holds)
    skipped = bool(claims) and all(claim.skipped for claim in claims)
    verdict = "skipped" if skipped else "passed" if result.holds else "failed"
    title = element(
        "th",
        mark(verdict),
        element("strong", result.title),
        element("span", result.location, class_="muted place") if result.location else None,
        element("span", result.note, class_="note") if result.note else None,
        scope="rowgroup",
        rowspan=str(max(1, len(claims))),
    )
    last = (
        element("td", result.observed or "-", rowspan=str(max(1, len(claims))), data_label="Seen over"),
        element(
            "td",
            f"{result.seconds:.2f}" if result.seconds else "-",
            rowspan=str(max(1, len(claims))),
            data_label="Seconds",
            class_="number",
        ),
    )
    rows = []
    for number, claim in enumerate(claims):
        wrong = None if claim.holds else "wrong"
        note = element("span", claim.note, class_="note") if claim.note else None
        words = (f"{claim.attribute}: ", element("span", claim.expected, class_="value")) if claim.expected else ()
        cells = (
            element("td", *words, data_label="Expected"),
            element("td", element("span", claim.actual, class_="value"), note, data_label="Found", class_=wrong),
        )
        rows.append(element("tr", title, *cells, *last) if number == 0 else element("tr", *cells))
    if not rows:
        rows.append(element("tr", title, element("td"), element("td"), *last))
    return element("tbody", *rows, class_=verdict)


def _rescued(folder: RunFolder) -> Markup | None:
    parts = [
        folded(f"{_FILES.get(name, name)} ({name})", element("pre", text, class_="console", tabindex="0"), open_=True)
        for name, text in folder.texts
        if name in RESCUED
    ]
    return section("rescued", "Collected where the boot stopped", *parts) if parts else None


def _diagnosis(report: BootReport) -> Markup | None:
    if not report.diagnosis:
        return None
    text = "\n".join(report.diagnosis)
    return section("diagnosis", "Seen in the guest", element("pre", text, class_="console", tabindex="0"))


def _warnings(findings: Sequence[Finding], console: MarkedConsole) -> Markup | None:
    if not findings:
        return None
    items = []
    for finding in findings:
        place = console.place_of(finding)
        line = element("code", finding.line.strip()[:500])
        shown = element("a", line, href=f"#{place}") if place else line
        items.append(element("li", f"{finding.cause} ({seconds(finding.seconds)}): ", shown))
    return section("warnings", "Warnings", element("ul", *items))


def _console(report: BootReport, console: MarkedConsole) -> Markup:
    if not console.lines:
        return section("console", "Console", element("p", "Nothing was printed on the serial console."))
    return section("console", "Console", console_parts(report, console))


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
    units = [folded(name, element("pre", text, class_="console")) for name, text in folder.texts if name not in RESCUED]
    rows = [
        element("li", element("a", name, href=f"./{name}"), f" {_FILES.get(name, '')} ",
                element("span", f"({size(count)})", class_="muted"))
        for name, count in names.items() if name != "report.html"
    ]  # fmt: skip
    return section("files", "Files", element("ul", *rows, class_="files"), *units)
