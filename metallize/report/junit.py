"""Boot reports as JUnit XML, in the dialect that CI systems read: one suite a machine, one case an assertion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from metallize.model.report import BootReport, Result, Severity
from metallize.report.text import claim_lines, failure_lines

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(reports: Iterable[BootReport]) -> str:
    """One document for all machines; the boot itself is a case too."""
    root = ET.Element("testsuites", name="metallize")
    for report in reports:
        suite = ET.SubElement(root, "testsuite", name=f"{report.image.name} on {report.machine}")
        _boot_case(suite, report)
        for result in report.results:
            _case(suite, report, result)
        failures = len(suite.findall("testcase/failure"))
        suite.set("tests", str(len(suite.findall("testcase"))))
        suite.set("failures", str(failures))
        suite.set("errors", "0")
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("time", f"{report.seconds:.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _boot_case(suite: ET.Element, report: BootReport) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{report.machine}.boot", name="boots")
    case.set("time", f"{report.seconds:.3f}")
    faults = [finding for finding in report.findings if finding.severity is Severity.FAULT]
    if report.failure is not None or faults:
        cause = report.failure.cause if report.failure is not None else faults[0].cause
        failure = ET.SubElement(case, "failure", message=_clean(cause))
        failure.text = _clean("\n".join(failure_lines(report)))
    out = ET.SubElement(case, "system-out")
    out.text = _clean(f"run folder: {report.run_folder}\n" + "\n".join(report.console_tail))


def _case(suite: ET.Element, report: BootReport, result: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{report.machine}.{result.kind}", name=_clean(result.title))
    case.set("time", f"{result.seconds:.3f}")
    if not result.holds:
        wrong = next((claim for claim in result.claims if not claim.holds), None)
        message = f"{wrong.attribute}: expected {wrong.expected}, found {wrong.actual}" if wrong else "does not hold"
        failure = ET.SubElement(case, "failure", message=_clean(message))
        failure.text = _clean("\n".join((*claim_lines(result), result.note, result.location)))
    elif result.claims and all(claim.skipped for claim in result.claims):
        ET.SubElement(case, "skipped", message=_clean(result.claims[0].note))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
