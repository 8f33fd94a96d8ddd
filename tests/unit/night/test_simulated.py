"""Nights by simulation: ordinary noise alarms nobody, and what is planted is told with its cause (scripts/bench)."""

from __future__ import annotations

import pytest
from bench.nights import CELLS, NIGHTS, NOISES, PLANTS, Plant, found, measured, ordinary, planted, power

from metallize.night.judging.findings import Verdict
from metallize.night.judging.times import LEAST_NIGHTS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_nights_of_ordinary_noise_alarm_nobody(noise: str, seed: int) -> None:
    world = ordinary(NOISES[noise], seed)
    assert len({each.night for each in world.attempts}) == LEAST_NIGHTS + NIGHTS
    told = world.findings()
    assert [each.what for each in told if each.alarms] == []
    young = [each for each in told if each.verdict is Verdict.YOUNG]
    assert len(young) == LEAST_NIGHTS * len(CELLS)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_what_is_planted_is_told_in_its_night_with_its_cause(plant: Plant) -> None:
    told = planted(NOISES["quiet"], 1, plant)
    assert found(told, plant), [(each.kind, each.verdict, each.what, each.causes) for each in told]


def test_the_noise_of_a_history_is_found_again() -> None:
    noise = NOISES["busy"]
    found_again = measured("again", ordinary(noise, 4, nights=40, confirming=False).attempts)
    for stage, seconds in noise.stages.items():
        assert found_again.stages[stage] == pytest.approx(seconds, rel=0.25)
        assert found_again.spread[stage] == pytest.approx(noise.spread[stage], rel=0.5)
    with pytest.raises(ValueError, match="no series of it has 8 nights"):
        measured("none", ())


def test_what_is_much_slower_is_seen_more_often_than_what_is_a_little() -> None:
    seeds = range(8)
    little, much = (power(NOISES["quiet"], "kernel", share, seeds) for share in (0.01, 0.15))
    assert little < 0.5
    assert much == 1.0
