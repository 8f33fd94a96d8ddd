"""Boot reports as JUnit XML, in the dialect that CI systems read: one suite a machine, one case an assertion.

The dialect is Jenkins' (junit-10.xsd of its xUnit plugin), which GitLab and others read too: a suite's properties come
before its cases, a case's outcome before its output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from metallize.model.report import BootReport, Result, Severity, Status
from metallize.model.visible import visible
from metallize.report.next_steps import next_step
from metallize.report.text import claim_lines, failure_lines

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNTS = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}


def junit_xml(reports: Iterable[BootReport], known: Sequence[str] = ()) -> str:
    """One document for all machines; the boot itself is a case too.

    `known` are sentences on images that nothing was booted for, since their bytes had held all that is asked.
    """
    root = junit_tree(reports)
    if known:
        suite = ET.SubElement(root, "testsuite", name="verified before", time="0.000")
        for sentence in known:
            case = ET.SubElement(suite, "testcase", classname="metallize.known", name=clean(sentence), time="0.000")
            ET.SubElement(case, "system-out").text = "nothing was booted"
    return as_xml(root)


def junit_tree(reports: Iterable[BootReport]) -> ET.Element:
    """A suite for each boot; more may be added before it is written."""
    root = ET.Element("testsuites", name="metallize")
    for report in reports:
        _suite(root, report)
    return root


def as_xml(root: ET.Element) -> str:
    """The document, with what its suites and cases come to."""
    for suite in root.findall("testsuite"):
        for name, path in {**_COUNTS, "skipped": "testcase/skipped"}.items():
            suite.set(name, str(len(suite.findall(path))))
    for name, path in _COUNTS.items():
        root.set(name, str(len(root.findall(f"testsuite/{path}"))))
    root.set("time", f"{sum(float(suite.get('time', 0)) for suite in root.findall('testsuite')):.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, report: BootReport) -> None:
    suite = ET.SubElement(root, "testsuite", name=clean(f"{report.image.name} on {report.machine}"))
    if report.started:
        suite.set("timestamp", report.started.removesuffix("+00:00"))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report).items():
        ET.SubElement(properties, "property", name=name, value=clean(value))
    _boot_case(suite, report)
    for result in report.results:
        _case(suite, report, result)
    suite.set("time", f"{report.seconds:.3f}")
    if not report.passed:
        ET.SubElement(suite, "system-out").text = clean("\n".join(failure_lines(report)))


def _properties(report: BootReport) -> dict[str, str]:
    accelerator = report.accelerator
    stages = {f"stage.{item.stage}": f"{item.seconds:.3f}" for item in report.stages}
    return {
        "image": str(report.image),
        "machine": report.machine,
        "media": report.media,
        "verdict": report.verdict,
        "stage": report.stage,
        "accelerator": accelerator.name,
        "cpu": accelerator.cpu,
        "slowness": f"{accelerator.slowness:g}",
        "qemu": report.qemu,
        "run folder": str(report.run_folder),
        **stages,
    }


def _boot_case(suite: ET.Element, report: BootReport) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{report.machine}.boot", name="boots")
    case.set("time", f"{report.seconds:.3f}")
    faults = [finding for finding in report.findings if finding.severity is Severity.FAULT]
    finding = report.failure or next(iter(faults), None)
    if finding is not None:
        failure = ET.SubElement(case, "failure", message=clean(finding.cause), type=clean(finding.rule))
        failure.text = clean("\n".join(failure_lines(report)))
    elif not report.passed and not report.failed_results:
        message = f"the boot got as far as stage {report.stage}"
        ET.SubElement(case, "failure", message=message, type="not-ready").text = message
    out = ET.SubElement(case, "system-out")
    out.text = clean(f"run folder: {report.run_folder}\n" + "\n".join(report.console_tail))


def _case(suite: ET.Element, report: BootReport, result: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{report.machine}.{result.kind}", name=clean(result.title))
    case.set("time", f"{result.seconds:.3f}")
    if not result.holds:
        wrong = next((claim for claim in result.claims if not claim.holds), None)
        unseen = f"unseen: {result.note}"
        message = f"{wrong.attribute}: expected {wrong.expected}, found {wrong.actual}" if wrong else unseen
        if wrong is not None and wrong.note:
            message += f" ({wrong.note})"
        kind = f"{result.kind}.unseen" if result.status is Status.UNSEEN else result.kind
        failure = ET.SubElement(case, "failure", message=clean(message), type=clean(kind))
        seen = f"seen over {result.observed}" if result.observed else ""
        details = (*claim_lines(result), result.note, result.location, seen, f"next: {next_step(result)}")
        failure.text = clean("\n".join(line for line in details if line))
    elif result.status is Status.SKIPPED:
        ET.SubElement(case, "skipped", message=clean(result.note or result.claims[0].note))
    elif result.note:
        ET.SubElement(case, "system-out").text = clean(result.note)


def clean(text: str) -> str:
    """The text, with nothing in it that XML or a terminal cannot take."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", visible(text))
