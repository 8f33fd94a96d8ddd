"""A boot's report and evidence, put where it would be had it been booted here; what is missing is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metallize.model.report import BootReport
from metallize.night.fleet.bringing import brought
from metallize.night.fleet.evidence import pack
from tests.unit.report.test_report import PASSED

BEGUN = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)


def request(folder: Path) -> Any:
    return SimpleNamespace(runs_dir=folder / "build" / "runs" / "web", machine_entry="seabios")


def report(folder: Path, stamp: str = "20200101T000000Z") -> BootReport:
    """As a worker makes it, whose clock is years behind."""
    first = folder / "runs" / "seabios" / "20200101T000000Z"
    first.mkdir(parents=True)
    (first / "console.txt").write_text("[   0.000] first\n")
    run = folder / "runs" / "seabios" / stamp
    run.mkdir(exist_ok=True)
    (run / "console.txt").write_text("[   0.000] seen\n")
    pack(run.parent, folder / "it")
    return replace(PASSED, run_folder=run, image=folder / "images" / "abc", notes=(f"first run in {first}",))


def test_both_runs_of_a_boot_that_was_made_twice_come(tmp_path: Path) -> None:
    there = report(tmp_path / "there", "20200101T000000Z-2")
    here, missing = brought(there, tmp_path / "there" / "it", request(tmp_path), Path("build/web.iso"), BEGUN, "")
    runs = tmp_path / "build" / "runs" / "web" / "seabios"
    assert missing == ""
    assert sorted(path.name for path in runs.iterdir()) == ["20261129T020000Z", "20261129T020000Z-2"]
    assert here.run_folder == runs / "20261129T020000Z-2"
    assert here.notes == (f"first run in {runs / '20261129T020000Z'}",)
    assert here.image == Path("build/web.iso")
    assert (here.run_folder / "console.txt").read_text() == "[   0.000] seen\n"
    assert here.run_folder.stat().st_mode & 0o077 == 0
    assert str(tmp_path / "there") not in (here.run_folder / "report.json").read_text()


@pytest.mark.parametrize("broken", ["missing", "cut", "another's"])
def test_what_did_not_come_is_named_and_the_verdict_counts(tmp_path: Path, broken: str) -> None:
    there = report(tmp_path / "there")
    path: Path | None = tmp_path / "there" / "it"
    assert path is not None
    if broken == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    if broken == "another's":
        (tmp_path / "there" / "other" / "etc").mkdir(parents=True)
        (tmp_path / "there" / "other" / "etc" / "passwd").write_text("x")
        pack(tmp_path / "there" / "other", path)
    given = None if broken == "missing" else path
    why = "no space left" if broken == "missing" else ""
    here, missing = brought(there, given, request(tmp_path), Path("build/web.iso"), BEGUN, why)
    assert missing
    assert here.passed
    assert here.notes[-1] == f"the evidence of this boot is missing: {missing}"
    assert [path.name for path in here.run_folder.parent.iterdir()] == ["20261129T020000Z"]
    assert not (here.run_folder / "console.txt").exists()
    assert json.loads((here.run_folder / "report.json").read_text())["notes"][-1] == here.notes[-1]
    assert not list(tmp_path.glob("build/runs/web/.*"))
