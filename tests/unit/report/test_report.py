"""One report, rendered three ways."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from metallize.model.kind import Claim
from metallize.model.report import (
    AcceleratorUse,
    BootReport,
    Finding,
    Result,
    Severity,
    Stage,
    StageTime,
    Status,
    Verdict,
)
from metallize.report.as_json import SCHEMA, report_to_json
from metallize.report.files import write_report
from metallize.report.junit import junit_xml
from metallize.report.text import report_lines
from tests.conftest import ROOT

HOLDS = Result(
    id="boot/assert/1/port/tcp:22",
    title="port tcp:22",
    kind="port",
    phase="assert",
    status=Status.HELD,
    claims=(Claim(attribute="listening", expected="true", actual="true", holds=True),),
    observed="ssh",
)
FAILS = Result(
    id="boot/assert/2/service/ssh",
    title="service ssh",
    kind="service",
    phase="assert",
    status=Status.FAILED,
    claims=(Claim(attribute="running", expected="true", actual="false", holds=False, note="state: failed"),),
    observed="ssh",
    location="profiles/x.yaml:9:5",
)
PANIC = Finding(
    rule="kernel-panic",
    stage=Stage.KERNEL,
    severity=Severity.FATAL,
    cause="the kernel panicked: no init",
    remedy="look",
    line="[ 2.3] Kernel panic - not syncing: no init\x01",
    context=("before", "[ 2.3] Kernel panic - not syncing: no init\x01"),
    seconds=2.5,
)
PASSED = BootReport(
    machine="seabios",
    image=Path("build/x.iso"),
    media="cd",
    verdict=Verdict.PASSED,
    stage=Stage.READY,
    seconds=21.5,
    accelerator=AcceleratorUse(name="tcg", cpu="qemu64", reason="because", slowness=3.9, cached=True),
    stages=(StageTime(stage=Stage.QEMU, seconds=0), StageTime(stage=Stage.READY, seconds=20.0)),
    results=(HOLDS,),
    failure=None,
    findings=(),
    console_tail=("debian login: ",),
    run_folder=Path("build/runs/x/seabios/1"),
)
FAILED = replace(PASSED, verdict=Verdict.FAILED, stage=Stage.KERNEL, failure=PANIC, results=(HOLDS, FAILS))


def test_a_report_that_passed_is_short() -> None:
    lines = report_lines(PASSED)
    assert lines[0] == "seabios: PASSED after 21.5 s, 1 of 1 checks hold (tcg, cd)"
    assert len(lines) == 3


def test_a_report_that_failed_says_what_why_and_where() -> None:
    text = "\n".join(report_lines(FAILED))
    for words in (
        "the boot reached stage kernel",
        "FAILED in stage kernel after 2.5 s: the kernel panicked: no init",
        "> [ 2.3] Kernel panic",
        "FAILED service ssh  [profiles/x.yaml:9:5]",
        "running: expected true, found false (state: failed)",
        "next: ",
        "| debian login:",
        "run folder: build/runs/x/seabios/1",
    ):
        assert words in text


def test_json_is_plain_data() -> None:
    data = json.loads(json.dumps(report_to_json(FAILED)))
    assert data["verdict"] == "failed"
    assert data["failure"]["stage"] == "kernel"
    assert data["results"][1]["claims"][0]["expected"] == "true"
    assert [(each["id"], each["phase"], each["status"]) for each in data["results"]] == [
        ("boot/assert/1/port/tcp:22", "assert", "held"),
        ("boot/assert/2/service/ssh", "assert", "failed"),
    ]
    assert data["run_folder"] == "build/runs/x/seabios/1"


def test_junit_has_a_case_for_each_assertion_and_one_for_the_boot() -> None:
    root = ET.fromstring(junit_xml([PASSED, FAILED]))  # noqa: S314 - our own
    suites = root.findall("testsuite")
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [("2", "0"), ("3", "2")]
    failure = suites[1].find("testcase[@name='service ssh']/failure")
    assert failure is not None
    assert failure.get("message") == "running: expected true, found false (state: failed)"
    assert failure.get("type") == "service"


def test_what_nobody_saw_is_told_apart_from_what_failed() -> None:
    unseen = replace(HOLDS, status=Status.UNSEEN, claims=(), note="asked ss: no answer")
    report = replace(FAILED, failure=None, results=(unseen, FAILS))
    lines = report_lines(report)
    assert lines[0] == "seabios: FAILED after 21.5 s, 0 of 2 checks hold, 1 unseen (tcg, cd)"
    told = [line.strip() for line in lines if line.strip().startswith(("FAILED ", "UNSEEN "))]
    assert told == ["FAILED service ssh  [profiles/x.yaml:9:5]", "UNSEEN port tcp:22"], "what failed comes first"
    assert any("asked ss: no answer" in line for line in lines)
    root = ET.fromstring(junit_xml([report]))  # noqa: S314 - our own
    failure = root.find(".//testcase[@name='port tcp:22']/failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("port.unseen", "unseen: asked ss: no answer")


def test_what_nobody_looked_at_after_a_failure_is_counted_in_one_line() -> None:
    unlooked = replace(HOLDS, status=Status.UNSEEN, claims=(), observed="", note="nobody came to look at it")
    text = "\n".join(report_lines(replace(FAILED, results=(unlooked, unlooked, FAILS))))
    assert "UNSEEN 2 of 3: the boot had failed before anybody looked at them" in text
    assert "UNSEEN port" not in text


GRAMMAR = {
    # Jenkins' junit-10.xsd: an element's attributes, those that it must have, and its children in their order
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, set(), ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"name", "tests", "failures", "errors"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, {"name", "value"}, []),
    "testcase": (
        {"name", "classname", "time"},
        {"name", "classname"},
        ["skipped", "error", "failure", "system-out", "system-err"],
    ),
    "failure": ({"message", "type"}, {"message", "type"}, []),
    "skipped": ({"message"}, set(), []),
    "system-out": (set(), set(), []),
}


def assert_is_junit(node: ET.Element) -> None:
    attributes, needed, children = GRAMMAR[node.tag]
    assert needed <= set(node.attrib) <= attributes
    places = [children.index(child.tag) for child in node]
    assert places == sorted(places), node.tag
    for child in node:
        assert_is_junit(child)


@pytest.mark.parametrize("text", ["", "plain", "\x00\x1b]0;x\x07\ud800 </failure> ]]> &", "\u202e"])
def test_junit_is_what_ci_systems_read(text: str) -> None:
    skipped = replace(HOLDS, status=Status.SKIPPED, claims=(replace(HOLDS.claims[0], skipped=True, note=text),))
    odd = replace(FAILS, title=text, claims=(replace(FAILS.claims[0], actual=text),), note=text)
    late = replace(HOLDS, note=f"held only 3 s after {text}")
    unseen = replace(HOLDS, status=Status.UNSEEN, claims=(), note=text)
    report = replace(
        FAILED,
        results=(skipped, odd, late, unseen),
        notes=(text,),
        console_tail=(text,),
        started="2026-01-02T03:04:05+00:00",
    )
    root = ET.fromstring(junit_xml([PASSED, report, replace(report, failure=None)]))  # noqa: S314 - our own
    assert_is_junit(root)
    suite = root.findall("testsuite")[1]
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    properties = {item.get("name"): item.get("value") for item in suite.findall("properties/property")}
    assert properties["accelerator"] == "tcg"
    assert properties["slowness"] == "3.9"
    assert properties["stage.ready"] == "20.000"
    boots = suite.find("testcase[@name='boots']/failure")
    assert boots is not None
    assert (boots.get("type"), boots.get("message")) == ("kernel-panic", "the kernel panicked: no init")
    out = suite.find("system-out")
    assert out is not None
    assert "the kernel panicked: no init" in (out.text or "")
    assert (root.get("tests"), root.get("failures")) == ("12", "5")


def test_the_schema_of_the_json_is_told_and_described() -> None:
    data = json.loads(json.dumps(report_to_json(FAILED)))
    assert data["schema"] == SCHEMA == 2
    assert "diagnosis" not in data
    assert "holds" not in data["results"][0]
    described = (ROOT / "docs" / "report.md").read_text()
    for name in data:
        assert f"`{name}`" in described, name
    for part in (StageTime, Finding, Result, Claim, AcceleratorUse):
        for item in fields(part):
            assert f"`{item.name}`" in described, item.name


def test_the_files_are_whole(tmp_path: Path) -> None:
    write_report(FAILED, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["machine"] == "seabios"
