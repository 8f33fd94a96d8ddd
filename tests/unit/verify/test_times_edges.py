"""Budgets at their very limit, and units that systemd describes in another way than a healthy guest does."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from metallize.model.boot import Boot, TimeBudgets
from metallize.model.kind import Observation
from metallize.model.report import Entry, Result, Stage, StageTime, Status
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import times
from metallize.verify.phases.times import judge_times, judge_units
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from tests.unit.verify.test_times import STAGES, judged, planned, unit

BEGAN = "InactiveExitTimestampMonotonic=5000000\n"
LOADED = "LoadState=loaded\nActiveState=active\n"


def test_every_stage_and_moment_may_have_a_budget() -> None:
    stages = dict.fromkeys(("firmware", "loader", "kernel", "initrd", "userspace"), 1)
    titles = [entry.title for entry in planned({**stages, "login": 1, "ready": 1, "units": {"a.service": 1}})]
    assert titles == [
        *(f"time in {stage}" for stage in stages),
        "time to login",
        "time to ready",
        "time of a.service",
    ]


def test_a_budget_holds_at_its_limit_and_not_after_it() -> None:
    assert judged({"kernel": 6})["time in kernel"].holds
    assert not judged({"kernel": 5.9})["time in kernel"].holds


def test_moments_are_counted_from_power_on_and_ready_may_never_come() -> None:
    budgets = TimeBudgets.model_validate({"ready": 25, "login": 25})
    entries = planned({"ready": 25, "login": 25})
    login, ready = judge_times(entries, budgets, STAGES, None, 1.0)
    assert (login.seconds, ready.seconds, ready.holds) == (20.0, 0.0, False)
    login, ready = judge_times(entries, budgets, (), 7.0, 1.0)
    assert (login.holds, ready.seconds) == (False, 7.0)


@pytest.mark.parametrize(("slowness", "said"), [(1.0, False), (1.05, False), (1.06, True)])
def test_a_slowness_is_told_from_where_it_matters(slowness: float, said: bool) -> None:
    expected = judged({"kernel": 7}, slowness=slowness)["time in kernel"].claims[0].expected
    assert ("a host of normal speed" in expected) is said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (f"{LOADED}{BEGAN}ActiveEnterTimestampMonotonic=5000000\n", 0.0),
        (f"Type=oneshot\n{LOADED}{BEGAN}ExecMainExitTimestampMonotonic=5000000\n", 0.0),
        (f"LoadState=masked\n{BEGAN}ActiveEnterTimestampMonotonic=6000000\n", 1.0),
        (f"a line without\n{LOADED}{BEGAN}Other=a=b\nActiveEnterTimestampMonotonic=6000000\n", 1.0),
    ],
    ids=["at once", "a oneshot at once", "masked since", "odd lines"],
)
def test_a_start_that_took_no_time_or_is_described_oddly_is_measured(text: str, seconds: float) -> None:
    result = unit(text)
    assert (result.status, result.seconds) == (Status.HELD, seconds)
    assert result.observed == "ssh"


@pytest.mark.parametrize(
    "text",
    [
        f"{LOADED}{BEGAN}ActiveEnterTimestampMonotonic=4999999\n",
        f"{LOADED}ActiveEnterTimestampMonotonic=1000000\n",
        f"{LOADED}{BEGAN}ExecMainExitTimestampMonotonic=5500000\n",
        f"Type=oneshot\n{LOADED}{BEGAN}ExecMainExitTimestampMonotonic=4999999\n",
        f"Type=oneshot\n{LOADED}ExecMainExitTimestampMonotonic=500000\n",
        LOADED,
    ],
    ids=["of an earlier start", "no beginning", "no oneshot", "an earlier end", "a oneshot unbegun", "no times"],
)
def test_a_start_that_is_not_over_keeps_no_budget(text: str) -> None:
    result = unit(text)
    assert result.status is Status.FAILED
    assert result.claims[0].actual == "it was not started (ActiveState=active)"


def test_one_unit_without_an_answer_hides_no_other() -> None:
    units = {"a.service": timedelta(seconds=2), "b.service": timedelta(seconds=2)}
    entries = planned({"units": {"a.service": 2, "b.service": 2}})
    said = Observation(
        status=0, stdout=f"{LOADED}{BEGAN}ActiveEnterTimestampMonotonic=6000000\nend\n", stderr="", seconds=0
    )
    results = judge_units(entries, units, [None, said], 1.0, observed="ssh")
    assert [result.status for result in results] == [Status.UNSEEN, Status.HELD]


def test_budgets_are_settled_at_the_end_of_the_boot() -> None:
    request = SimpleNamespace(boot=Boot.model_validate({"time": {"kernel": 7}}))
    checklist = Checklist(times.plan(cast("VerifyRequest", request), FIRST))

    def entries(prefix: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in checklist.entries if entry.id.startswith(f"boot/{prefix}"))

    watch = SimpleNamespace(stages=STAGES)
    session = SimpleNamespace(
        request=request,
        checklist=checklist,
        guest=SimpleNamespace(watch=watch),
        entries=entries,
        ready_seconds=24.0,
        slowness=1.0,
    )
    times.run(cast("BootSession", session))
    assert checklist.passed


def stage_result(stages: tuple[StageTime, ...]) -> Result:
    budgets: dict[str, object] = {"kernel": 7}
    [result] = judge_times(planned(budgets), TimeBudgets.model_validate(budgets), stages, None, 1.0)
    return result


def test_the_last_stage_has_not_ended() -> None:
    assert stage_result(STAGES).holds
    assert not stage_result((StageTime(stage=Stage.KERNEL, seconds=1),)).holds


@pytest.mark.parametrize("moment", ["0", "-5", "x", ""])
def test_a_moment_that_never_was_is_no_start(moment: str) -> None:
    result = unit(f"{LOADED}InactiveExitTimestampMonotonic={moment}\nActiveEnterTimestampMonotonic=6000000\n")
    assert result.status is Status.FAILED
    assert "not started" in result.claims[0].actual
    first = unit(f"{LOADED}InactiveExitTimestampMonotonic=1\nActiveEnterTimestampMonotonic=1000001\n")
    assert (first.status, first.seconds) == (Status.HELD, 1.0)


@pytest.mark.parametrize(("status", "end"), [(1, "end\n"), (0, "")])
def test_half_an_answer_about_a_unit_is_none(status: int, end: str) -> None:
    text = f"{LOADED}{BEGAN}ActiveEnterTimestampMonotonic=6000000\n{end}"
    seen = Observation(status=status, stdout=text, stderr="", seconds=0)
    [result] = judge_units(
        planned({"units": {"a.service": 2}}), {"a.service": timedelta(seconds=2)}, [seen], 1.0, observed=""
    )
    assert result.status is Status.UNSEEN
