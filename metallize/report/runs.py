"""The runs in a build folder: build/runs/PROFILE/[OUTPUT/]MACHINE/TIME, found by their names and read as values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from metallize.files.json_file import read_mapping
from metallize.model.report import Verdict

RUNS = "runs"
REPORT = "report.json"
_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")
"""As metallize.qemu.vm.make_run_folder calls them."""
_DEEPEST = 3
"""Folders between `runs` and a run: the profile, perhaps its output, the machine."""
_REPORT_BYTES = 64 << 20


class State(StrEnum):
    """What became of a run."""

    PASSED = "passed"
    FAILED = "failed"
    RUNNING = "running"
    CUT_SHORT = "cut short"
    """It has no verdict, and nobody is at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as its folder tells of it."""

    folder: Path
    profile: str
    """The folder below `runs`, and for each of several outputs its file."""
    machine: str
    began: datetime
    number: int
    """Of those that began in one second."""
    verdict: Verdict | None
    """None where there is none yet, or where report.json cannot be read."""
    stage: str = ""
    cause: str = ""
    seconds: float | None = None

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    def state(self, held: frozenset[Path]) -> State:
        """What became of it, where these folders are held by running processes."""
        if self.verdict is not None:
            return State(self.verdict)
        return State.RUNNING if self.folder in held else State.CUT_SHORT


def find_runs(build_dir: Path) -> tuple[Run, ...]:
    """Every run of a build folder, the newest first; what is called otherwise is none."""
    found = [_read(folder, build_dir / RUNS) for folder in _folders(build_dir / RUNS, _DEEPEST)]
    return tuple(sorted(found, key=lambda run: (run.began, run.number, str(run.folder)), reverse=True))


def _folders(above: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(above) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        if _NAME.fullmatch(name):
            yield above / name
        elif depth > 0:
            yield from _folders(above / name, depth - 1)


def _read(folder: Path, runs: Path) -> Run:
    name = _NAME.fullmatch(folder.name)
    if name is None:
        raise ValueError(f"{folder} is no run")
    try:
        report: Mapping[str, Any] = read_mapping(folder / REPORT, most_bytes=_REPORT_BYTES)
        verdict = Verdict(report["verdict"])
    except (OSError, ValueError, LookupError):
        report, verdict = {}, None
    seconds = report.get("seconds")
    try:
        began = datetime.strptime(name[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # 20269999T999999Z
        began = datetime.fromtimestamp(0, UTC)
    return Run(
        folder=folder,
        profile=folder.parent.parent.relative_to(runs).as_posix() if folder.parent != runs else "",
        machine=folder.parent.name if folder.parent != runs else "",
        began=began,
        number=int(name[2] or 1),
        verdict=verdict,
        stage=str(report.get("stage", "")),
        cause=_cause(report),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
    )


def _cause(report: Mapping[str, Any]) -> str:
    """Why it failed, in a line, as far as the report has it where it should be."""
    if report.get("verdict") != Verdict.FAILED:
        return ""
    failure = report.get("failure")
    if isinstance(failure, dict) and failure.get("cause"):
        return str(failure["cause"])
    results = report.get("results")
    wrong = [
        str(each.get("title"))
        for each in (results if isinstance(results, list) else ())
        if isinstance(each, dict) and each.get("status") in ("failed", "unseen")
    ]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{wrong[0]}{more}" if wrong else ""
