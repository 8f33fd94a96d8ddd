"""Which evidence stays: all of what failed, and of what passed fewer the older it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from metallize.night.history import append, history_path
from metallize.night.retention import wanted, wanted_folders
from tests.unit.night.attempts import FIRST, attempt, of


def ages(attempts: list[int], now: datetime) -> list[int]:
    kept = wanted([attempt(number) for number in attempts], now)
    return sorted((now - datetime.fromisoformat(each.night)).days for each in kept)


def test_of_what_passed_fewer_stay_the_older_it_is() -> None:
    now = FIRST + timedelta(days=364, hours=1)
    found = ages(list(range(1, 366)), now)
    assert found[:14] == list(range(14))
    assert len([age for age in found if 14 <= age < 90]) == 11
    assert len([age for age in found if age >= 90]) == 10
    assert len(found) == 35


def test_all_that_did_not_pass_stays_and_each_cell_has_its_own() -> None:
    now = FIRST + timedelta(days=364)
    failed = [attempt(number, status) for number, status in ((1, "FAIL"), (2, "FAIL"), (3, "MISS"), (4, "ERROR"))]
    passed = [attempt(1), attempt(2), attempt(1, cell=of("db")), attempt(1, confirms="x")]
    kept = wanted([*failed, *passed], now)
    assert [each.status for each in kept[:4]] == ["FAIL", "FAIL", "MISS", "ERROR"]
    assert {(each.night, each.cell, each.confirms) for each in kept[4:]} == {
        (passed[1].night, passed[1].cell, ""), (passed[2].night, of("db"), ""), (passed[3].night, passed[3].cell, "x"),
    }  # fmt: skip


def test_nights_of_the_future_and_nights_that_are_no_time() -> None:
    assert len(wanted([attempt(1), attempt(2)], FIRST - timedelta(days=9))) == 2, "nothing goes for a wrong clock"
    assert len(wanted([replace(attempt(1), night=text) for text in ("x", "y")], FIRST)) == 2


def test_folders_are_found_wherever_the_night_was_run_from(tmp_path: Path) -> None:
    build = tmp_path / "build"
    append(history_path(build), [attempt(1, "FAIL", run_folder="build/runs/web/seabios/20260101T000000Z")])
    assert (build / "runs/web/seabios/20260101T000000Z").resolve() in wanted_folders(build, FIRST)
    assert wanted_folders(tmp_path / "none", FIRST) == frozenset()
