"""A line a cell, and a document for CI, of a whole night."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import pytest

from metallize import cli
from metallize.commands import nightly as verb
from metallize.errors import ExitCode
from metallize.night.attempt import Attempt
from metallize.night.telling.summary import night_junit, summary
from tests.unit.night.attempts import attempt, of
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import FAILED, PASSED

SECONDS = MappingProxyType({"seconds": 30.0})
NIGHT = [
    attempt(1, cell=of("good"), metrics=SECONDS),
    attempt(1, "FAIL", cell=of("bad"), metrics=SECONDS),
    attempt(1, "FAIL", cell=of("bad"), attempt=2, metrics=SECONDS),
    attempt(1, "FAIL", cell=of("flaky")),
    attempt(1, cell=of("flaky"), attempt=2),
    attempt(1, "FAIL", cell=of("known"), known_issue="#12"),
    attempt(1, "ERROR", cell=of("wrong", ""), reason="unknown key\x1b[31m \x00<&>"),
    attempt(1, "MISS", cell=of("host")),
    attempt(1, "SKIP", cell=of("not-here", "")),
    attempt(1, cell=of("good"), attempt=9, confirms="x"),
]


def test_a_line_a_cell_and_what_is_bad_last() -> None:
    lines = [line for _, line in summary(NIGHT)]
    assert lines[:6] == [
        "PASS   good on seabios   ready after 21.0 s",
        "SKIP   not-here          the kernel panicked",
        "FAIL   bad on seabios    the kernel panicked, in 2 attempts",
        "FLAKY  flaky on seabios  the kernel panicked, in 2 attempts",
        "MISS   host on seabios   the kernel panicked",
        "FAIL   known on seabios  the kernel panicked (known: #12)",
    ]
    assert lines[6].startswith("ERROR  wrong             unknown key")
    assert "\x1b" not in lines[6]
    assert list(summary([])) == []


def outcomes(document: str) -> dict[str, str]:
    suite = ET.fromstring(document).find("testsuite[@name='nightly']")  # noqa: S314 - our own
    assert suite is not None
    return {
        f"{case.get('classname')} {case.get('name')}": next(
            (kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), ""
        )
        for case in suite
    }


def test_junit_has_a_case_for_every_cell() -> None:
    document = night_junit(NIGHT, [])
    assert outcomes(document) == {
        "metallize.nightly.good seabios": "",
        "metallize.nightly.not-here no machine": "skipped",
        "metallize.nightly.bad seabios": "failure",
        "metallize.nightly.flaky seabios": "failure",
        "metallize.nightly.host seabios": "error",
        "metallize.nightly.known seabios": "skipped",
        "metallize.nightly.wrong no machine": "error",
    }
    root = ET.fromstring(document)  # noqa: S314 - our own
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "time")} == {
        "tests": "7", "failures": "2", "errors": "2", "time": "90.000",
    }  # fmt: skip


def test_boots_have_suites_of_their_own_unless_their_failure_is_known() -> None:
    good = replace(PASSED, run_folder=Path("runs/good"))
    known = replace(FAILED, run_folder=Path("runs/known"))
    night = [
        attempt(1, cell=of("good"), run_folder="runs/good"),
        attempt(1, "FAIL", cell=of("known"), run_folder="runs/known", known_issue="#12"),
    ]
    root = ET.fromstring(night_junit(night, [good, known]))  # noqa: S314 - our own
    assert len(root.findall("testsuite")) == 2
    assert root.get("failures") == "0"


def test_a_night_that_went_on_has_all_of_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def night(*args: object, **_said: object) -> tuple[Attempt, ...]:
        return tuple(NIGHT)

    monkeypatch.setattr(verb, "run_nightly", night)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "reports" / "night.xml"
    status = cli.main(["nightly", "debian13-livecd", "--junitxml", str(file), "--accel", "tcg"])
    assert status == ExitCode.FAILED_VERIFICATION
    assert len(outcomes(file.read_text())) == 7


@pytest.mark.slow
def test_a_change_that_touches_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nightly", "debian13-livecd", "--since", "HEAD", "--build-dir", str(tmp_path)]
    assert cli.main(words) == ExitCode.DONE
    assert "nothing that a night tries has changed since HEAD" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_night_of_nothing_leaves_no_page_and_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds({}).install(monkeypatch)
    assert builds.night(tmp_path) == ()
    assert [path.name for path in (tmp_path / "nightly").iterdir() if path.suffix == ".json"] == []
