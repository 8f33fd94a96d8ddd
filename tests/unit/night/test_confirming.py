"""Boots in turn: in what order, how many, until when, and what is written down where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from metallize.errors import HostError
from metallize.night.attempt import Attempt
from metallize.night.confirming import Budget, confirm
from metallize.night.judging.findings import Finding, Kind, Verdict
from metallize.night.judging.judgement import judge
from tests.unit.night.attempts import HOST, attempt, night, of
from tests.unit.night.in_turn import Simulated
from tests.unit.night.test_judging import NEW, OLD, no_facts, of_kind, quiet, slow

SUSPECTED = [*quiet(), slow(11, 6.0, metrics={"seconds": 60.0})]


def last(attempts: Sequence[Attempt]) -> Finding:
    return of_kind(judge(attempts, no_facts), Kind.TIME)[-1]


@pytest.mark.parametrize("made", range(10))
def test_a_night_that_was_interrupted_goes_on_behind_the_boots_that_were_made(made: int) -> None:
    before = [each for each, _ in zip(confirm(SUSPECTED, no_facts, Simulated(5.1, 6.0)), range(made), strict=False)]
    assert len(before) == made
    assert last([*SUSPECTED, *before]).verdict is Verdict.SUSPECT
    rest = tuple(confirm([*SUSPECTED, *before], no_facts, Simulated(5.1, 6.0)))
    assert [each.attempt for each in (*before, *rest)] == list(range(1, 11))
    images = "".join("A" if each.sha256 == OLD else "B" for each in (*before, *rest))
    assert images == "ABBABAABBA"
    assert last([*SUSPECTED, *before, *rest]).verdict is Verdict.WORSE


@pytest.mark.parametrize(
    ("host", "boots", "why"),
    [
        (Simulated(5.1, 6.0, lacks="the last good image, 111, is there no longer"), 0, "111, is there no longer"),
        (Simulated(5.1, 6.0, breaks={3: HostError("no QEMU any more\nsecond line")}), 2,
         "boot 3 of 10 could not be made: no QEMU any more"),
        (Simulated(5.1, 6.0, hangs=frozenset({4})), 4, "boot 4 of 10, of the image before, was not ready: the kernel"),
        (Simulated(5.1, 6.0, seconds=3000), 2, "it takes 8 minutes, and of the night's 60 for that 0 are left"),
    ],
)  # fmt: skip
def test_why_it_is_unconfirmed_is_written_down(host: Simulated, boots: int, why: str) -> None:
    made = tuple(confirm(SUSPECTED, no_facts, host))
    assert [each.status.judges for each in made] == [True] * boots + [False]
    found = last([*SUSPECTED, *made])
    assert found.verdict is Verdict.SUSPECT
    assert "unconfirmed: " in found.what
    assert why in found.what
    assert "second line" not in found.what
    assert not list(confirm([*SUSPECTED, *made], no_facts, Simulated(5.1, 6.0))), "it is not tried again in this night"


def test_what_takes_longer_than_the_night_has_is_not_begun() -> None:
    host = Simulated(5.1, 6.0)
    [line] = confirm(SUSPECTED, no_facts, host, budget=Budget(time=timedelta(minutes=9)))
    assert line.reason == "it takes 10 minutes, and of the night's 9 for that 9 are left"
    assert not host.asked
    [line] = confirm(SUSPECTED, no_facts, host, budget=Budget(boots=0))
    assert line.reason == "10 boots more, and of the night's 0 for that 0 are left"


def test_only_what_is_of_this_night_is_booted() -> None:
    assert not list(confirm(SUSPECTED, no_facts, Simulated(5.1, 6.0), mine=lambda each: each.night == night(10)))
    later = attempt(12, host=replace(HOST, id="another"))
    merged = [*SUSPECTED, later]
    assert len(list(confirm(merged, no_facts, Simulated(5.1, 6.0), mine=lambda each: each.host.id == HOST.id))) == 10


def test_the_images_that_a_later_night_is_compared_with_are_known() -> None:
    assert judge(quiet(), no_facts).compared == {OLD}
    assert judge(SUSPECTED, no_facts).compared == {OLD, NEW}
    confirmed = [*SUSPECTED, *confirm(SUSPECTED, no_facts, Simulated(5.1, 6.0))]
    assert judge(confirmed, no_facts).compared == {NEW}
    failed = [*quiet(), attempt(11, "FAIL", sha256=NEW)]
    assert judge(failed, no_facts).compared == {OLD}, "until the next good one"
    moved = [*quiet(), *(attempt(number, sha256=NEW, cell=of("db")) for number in range(11, 60))]
    assert judge(moved[:20], no_facts).compared == {OLD, NEW}
    assert judge(moved, no_facts).compared == {NEW}, "a cell that is tried no more is forgotten"
