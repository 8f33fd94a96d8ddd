"""The guest's logs, collected by a real shell of this host."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from metallize.deadline import Deadline
from metallize.guest import ShellError, ShellOutput
from metallize.model.boot import Boot
from metallize.model.report import Finding, Severity, Stage
from metallize.verify import evidence
from metallize.verify.course import Course
from metallize.verify.prepared import PreparedBoot
from metallize.verify.session import BootSession
from tests.unit.report.test_report import FAILED


class LocalShell:
    """A login on this host."""

    name = "ssh"

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=False)
        return ShellOutput(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def close(self) -> None: ...


class LostShell(LocalShell):
    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        raise ShellError("the line is dead")


@pytest.mark.slow
def test_what_answers_is_kept_and_what_hangs_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        evidence, "LOGS", {"a.txt": "echo hello", "b.txt": "sleep 60", "c.txt": "exit 0", "d.txt": "echo bye"}
    )
    evidence.collect(LocalShell(), tmp_path, password=None, slowness=0.1)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "hello\n", "d.txt": "bye\n"}


def test_a_shell_that_is_lost_is_no_error(tmp_path: Path) -> None:
    evidence.collect(LostShell(), tmp_path, password=None, slowness=0.1)
    assert not list(tmp_path.iterdir())


def test_over_the_serial_line_the_services_that_take_longest_are_told_too() -> None:
    """A night says of those which of them made a boot slower, however it was logged in."""
    for logs, most in ((evidence.LOGS, 300), (evidence.LOGS_OVER_SERIAL, 40)):
        assert "# seconds that each service took to start" in logs["units.txt"]
        assert logs["units.txt"].endswith(f"sort -rn | head -n {most}\n")


@pytest.mark.parametrize("logs", [evidence.LOGS, evidence.LOGS_OVER_SERIAL])
def test_the_snippets_are_ones_that_sh_reads(logs: dict[str, str]) -> None:
    assert list(logs)[:3] == ["dmesg.txt", "journal.txt", "units.txt"]
    for text in logs.values():
        subprocess.run(["sh", "-n"], input=text.encode(), check=True)


SHOWN = """\
Id=ssh.service
InactiveExitTimestampMonotonic=18070000
ActiveEnterTimestampMonotonic=19775000
InactiveEnterTimestampMonotonic=0

Id=seldom.service
InactiveExitTimestampMonotonic=0
ActiveEnterTimestampMonotonic=0
InactiveEnterTimestampMonotonic=0

Id=once.service
InactiveExitTimestampMonotonic=5000000
ActiveEnterTimestampMonotonic=0
InactiveEnterTimestampMonotonic=8000000
"""


def test_what_systemd_keeps_tells_when_each_service_was_up(tmp_path: Path) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncat <<'END'\n{SHOWN}END\n")
    systemctl.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", evidence.BOOT_TIMES],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["3.000", "8.000", "once.service"],
        ["1.705", "19.775", "ssh.service"],
    ]


@pytest.mark.parametrize(
    ("stage", "rule", "answers"),
    [
        (Stage.READY, "unit-failed", True),
        (Stage.LOGIN, "timeout", True),
        (Stage.READY, "kernel-panic", False),
        (Stage.USERSPACE, "unit-failed", False),
    ],
)
def test_a_guest_that_is_gone_is_not_asked(stage: Stage, rule: str, answers: bool) -> None:
    failure = Finding(rule=rule, stage=stage, severity=Severity.FATAL, cause="x")
    assert evidence.answers_still(stage, failure) is answers


def test_a_machine_that_is_switched_off_is_left_alone(tmp_path: Path) -> None:
    # all that it may ask is whether the machine is alive: anything else raises
    guest = SimpleNamespace(console=SimpleNamespace(alive=False), folder=tmp_path)
    off = SimpleNamespace(guest=guest, ways=SimpleNamespace(diagnosis=["port 22 is closed"]))
    request = SimpleNamespace(boot=Boot(), refusal=None, groups=(), assertions=(), observed=(), has_ways_in=False)
    course = Course(boot=cast("PreparedBoot", SimpleNamespace(request=request)), diagnosis=["the boot before"])
    course.session = cast("BootSession", off)
    report = replace(FAILED, stage=Stage.READY, failure=None)
    assert course.with_evidence(report) is report
    assert (tmp_path / "diagnosis.txt").read_text() == "the boot before\nport 22 is closed\n"
