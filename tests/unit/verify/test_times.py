"""Budgets of stages, of the boot and of units, against what was measured."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import cast

from metallize.model.boot import Boot, TimeBudgets
from metallize.model.kind import Observation
from metallize.model.report import Entry, Result, Stage, StageTime, Status
from metallize.verify.checklist import FIRST
from metallize.verify.phases import times
from metallize.verify.phases.times import judge_times, judge_units, unit_probe
from metallize.verify.request import VerifyRequest

STAGES = tuple(
    StageTime(stage=stage, seconds=100 + seconds)
    for stage, seconds in (
        (Stage.QEMU, 0.0),
        (Stage.FIRMWARE, 1.0),
        (Stage.LOADER, 2.0),
        (Stage.KERNEL, 5.0),
        (Stage.USERSPACE, 11.0),
        (Stage.LOGIN, 20.0),
    )
)


def judged(budgets: dict[str, object], slowness: float = 1.0) -> dict[str, Result]:
    results = judge_times(planned(budgets), TimeBudgets.model_validate(budgets), STAGES, 124.0, slowness)
    return {result.title: result for result in results}


def planned(budgets: dict[str, object]) -> tuple[Entry, ...]:
    asked = cast("VerifyRequest", SimpleNamespace(boot=Boot.model_validate({"time": budgets})))
    return times.plan(asked, FIRST)


def test_stages_last_and_moments_count_from_power_on() -> None:
    results = judged({"kernel": 7, "login": 19, "ready": "25s"})
    assert results["time in kernel"].claims[0].actual == "6.0 s"
    assert results["time in kernel"].holds
    assert results["time to login"].claims[0].actual == "20.0 s"
    assert not results["time to login"].holds
    assert results["time to ready"].seconds == 24.0


def test_a_slow_host_has_more_time_and_says_so() -> None:
    result = judged({"kernel": 3}, slowness=2.5)["time in kernel"]
    assert result.holds
    assert result.claims[0].expected == "within 7.5 s (3 s on a host of normal speed; this one is 2.5 times slower)"


def test_a_stage_that_was_not_seen_does_not_keep_its_budget() -> None:
    result = judged({"initrd": 60})["time in initrd"]
    assert not result.holds
    assert result.claims[0].actual == "the console did not show it"


UNIT = planned({"units": {"a.service": 2}})


def unit(text: str) -> Result:
    observation = Observation(status=0, stdout=f"{text.rstrip()}\nend\n" if text else "", stderr="", seconds=0)
    [result] = judge_units(UNIT, {"a.service": timedelta(seconds=2)}, [observation], 1.0, observed="ssh")
    return result


def test_a_units_start_is_measured_in_the_guest() -> None:
    assert "a.service" in unit_probe("a.service")
    loaded = "LoadState=loaded\nActiveState=active\n"
    fast = unit(f"{loaded}InactiveExitTimestampMonotonic=5000000\nActiveEnterTimestampMonotonic=6500000\n")
    assert fast.holds
    assert fast.seconds == 1.5
    slow = unit(f"{loaded}InactiveExitTimestampMonotonic=5000000\nActiveEnterTimestampMonotonic=9500000\n")
    assert not slow.holds


def test_a_oneshot_counts_until_it_has_ended() -> None:
    result = unit(
        "Type=oneshot\nLoadState=loaded\nActiveState=inactive\nInactiveExitTimestampMonotonic=5000000\n"
        "ActiveEnterTimestampMonotonic=0\nExecMainExitTimestampMonotonic=5500000\n"
    )
    assert result.holds
    assert result.seconds == 0.5


def test_a_unit_that_is_not_there_or_never_started_keeps_no_budget() -> None:
    assert "no such unit" in unit("LoadState=not-found\nActiveState=inactive\n").claims[0].actual
    stopped = "LoadState=loaded\nActiveState=inactive\nInactiveExitTimestampMonotonic=0\n"
    assert "not started" in unit(stopped).claims[0].actual
    [silent] = judge_units(UNIT, {"a.service": timedelta(seconds=2)}, [None], 1.0, observed="ssh")
    assert silent.status is Status.UNSEEN
    assert "a.service" in silent.note
    assert unit("\n").status is Status.UNSEEN, "an empty answer is none"
