"""Which runs' evidence the night wants kept: all of what failed, and of what passed fewer the older it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from metallize.night import history
from metallize.night.attempt import Attempt, Status
from metallize.report.runs import RUNS

_THINNED = ((timedelta(days=14), timedelta(days=1)), (timedelta(days=90), timedelta(days=7)))
"""Up to this age one pass of a cell is kept in each span of so long; beyond the last, one in each `_OLD`."""
_OLD = timedelta(days=30)


def wanted(attempts: Iterable[Attempt], now: datetime) -> tuple[Attempt, ...]:
    """The attempts whose evidence stays: all that did not pass, the latest pass of each cell in each span. Pure."""
    kept: list[Attempt] = []
    spans: dict[tuple[object, ...], Attempt] = {}
    for each in attempts:
        if each.status is not Status.PASS:
            kept.append(each)
            continue
        key = (each.cell, each.leader, each.confirms != "", _span(each.night, now))
        if key not in spans or (spans[key].night, spans[key].attempt) < (each.night, each.attempt):
            spans[key] = each
    return (*kept, *spans.values())


def wanted_folders(build_dir: Path, now: datetime) -> frozenset[Path]:
    """Their run folders, resolved, wherever the night was run from.

    Raises HostError where the history is there and cannot be read.
    """
    attempts = history.read(history.history_path(build_dir)).attempts
    folders = [Path(each.run_folder) for each in wanted(attempts, now) if each.run_folder]
    return frozenset(path.resolve() for folder in folders for path in (folder, _here(folder, build_dir)))


def _here(folder: Path, build_dir: Path) -> Path:
    """A run's folder as it is called in this build folder."""
    parts = folder.parts
    start = len(parts) - parts[::-1].index(RUNS) if RUNS in parts else 0
    return build_dir.joinpath(RUNS, *parts[start:])


def _span(night: str, now: datetime) -> tuple[int, int | str]:
    """Which span an age falls in; what is no time is as old as can be, and what is yet
    to come, as where a clock is wrong, as young, each for itself.
    """
    try:
        age = now - datetime.fromisoformat(night)
    except (ValueError, TypeError):
        return (len(_THINNED) + 1, night)
    if age < timedelta():
        return (-1, night)
    for number, (until, each) in enumerate(_THINNED):
        if age < until:
            return (number, age // each)
    return (len(_THINNED), age // _OLD)
