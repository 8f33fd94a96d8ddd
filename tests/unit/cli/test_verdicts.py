"""What is shown of verdicts, and the JUnit file of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from metallize.commands.shared import show_reports, write_junit
from metallize.errors import HostError
from metallize.render import PlainLines
from tests.unit.proof.proofs import on, report_of


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"quiet": False, "colour": "never", "junitxml": None, **given})


def test_one_file_has_all_machines_and_what_was_known_before(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "all, \u00fc.xml"
    reports = [report_of(on("seabios")), report_of(on("ovmf"), passed=False)]
    write_junit(options(junitxml=path), reports, ["web.iso: \x1bheld"])
    root = ET.parse(path).getroot()  # noqa: S314 - our own
    names = [suite.get("name") or "" for suite in root.findall("testsuite")]
    assert [name.rpartition(" ")[2] for name in names] == ["seabios", "ovmf", "before"]
    assert int(root.get("tests") or 0) == len(root.findall("testsuite/testcase"))
    [known] = root.findall("testsuite/testcase[@classname='metallize.known']")
    assert known.get("name") == "web.iso: \\u001bheld"
    assert known.find("failure") is None


def test_where_no_file_is_asked_for_none_is_written_and_where_none_can_be_that_is_said(tmp_path: Path) -> None:
    write_junit(options(), [report_of(on("seabios"))])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="--junitxml"):
        write_junit(options(junitxml=tmp_path / "file" / "x.xml"), [])


@pytest.mark.parametrize(("quiet", "shown"), [(False, ["seabios", "ovmf"]), (True, ["ovmf"])])
def test_quiet_shows_what_did_not_pass(capsys: pytest.CaptureFixture[str], quiet: bool, shown: list[str]) -> None:
    reports = [report_of(on("seabios")), report_of(on("ovmf"), passed=False)]
    with PlainLines(sys.stderr, verbose=False, quiet=quiet) as renderer:
        show_reports(reports, renderer, options(quiet=quiet))
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told if line.startswith(("seabios: ", "ovmf: "))] == shown


def test_colours_of_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    reports = [report_of(on("seabios")), report_of(on("ovmf"), passed=False)]
    with PlainLines(sys.stderr, verbose=False) as renderer:
        show_reports(reports, renderer, options(colour="always"))
    told = capsys.readouterr().err
    assert "\x1b[32mseabios: PASSED" in told
    assert "\x1b[31movmf: FAILED" in told
