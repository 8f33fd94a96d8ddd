"""The few numbers that the judge goes by."""

from __future__ import annotations

import itertools
import statistics

import pytest

from metallize.night.judging.statistics import abba, greater_by_chance, proportion, spread
from metallize.night.judging.times import Confirmation, slower_units, slowest_stage, suspicion


def test_median_and_spread_do_not_move_for_one_that_is_far_off() -> None:
    found = spread([10.0, 10.2, 9.8, 10.1, 99.0])
    assert found.median == 10.1
    assert found.mad == pytest.approx(0.1)
    assert found.sigma == pytest.approx(0.14826)
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_the_permutation_test_is_the_definition() -> None:
    before, later = [1.0, 4.0, 2.0], [3.0, 5.0, 4.5]
    pooled = [*before, *later]
    seen = statistics.fmean(later) - statistics.fmean(before)
    count = total = 0
    for some in itertools.combinations(range(6), 3):
        rest = [pooled[n] for n in range(6) if n not in some]
        total += 1
        count += statistics.fmean(pooled[n] for n in some) - statistics.fmean(rest) >= seen - 1e-12
    assert greater_by_chance(before, later) == count / total
    assert greater_by_chance([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == 1 / 252
    assert greater_by_chance([1.0] * 5, [1.0] * 5) == 1.0
    for wrong in (([], [1.0]), ([1.0], []), ([1.0] * 30, [1.0] * 30)):
        with pytest.raises(ValueError, match=r"values|arrangements"):
            greater_by_chance(*wrong)


def test_both_images_are_booted_in_turn_and_as_often() -> None:
    assert abba(5) == "ABBABAABBA"
    assert abba(5).count("A") == abba(5).count("B") == 5


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 0.308), (10, 10, 0.692, 1.0), (3, 41, 0.0154, 0.1992), (1, 2, 0.0126, 0.9874), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_a_share(count: int, of: int, low: float, high: float) -> None:
    """Against published tables of Clopper and Pearson's interval."""
    found = proportion(count, of)
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)
    with pytest.raises(ValueError, match="2 of 1"):
        proportion(2, 1)


def test_a_time_is_suspected_by_spread_share_and_seconds() -> None:
    usual = [10.0, 10.1, 9.9, 10.0, 10.1, 9.9, 10.0, 10.05]
    assert suspicion("kernel", 10.9, usual, other_bytes=False) is None, "10 % and 1 s"
    assert suspicion("kernel", 11.2, usual, other_bytes=False) is not None
    assert suspicion("kernel", 10.29, usual, other_bytes=True) is None, "3 %"
    assert suspicion("kernel", 10.6, usual, other_bytes=True) is not None
    wide = [10.0, 12, 8, 11, 9, 10, 13, 7]
    assert suspicion("kernel", 14.0, wide, other_bytes=True) is None, "they differ as much among themselves"
    assert suspicion("userspace", 10.1, usual, other_bytes=True, slow_unit="x.service") is not None
    assert suspicion("userspace", 9.9, usual, other_bytes=True, slow_unit="x.service") is None


def test_a_confirmation_needs_boots_significance_and_an_effect() -> None:
    fast, slower = (10.0, 10.1, 9.9, 10.0, 10.1), (11.0, 11.1, 10.9, 11.0, 11.1)
    assert Confirmation(before=fast, after=slower).holds
    assert not Confirmation(before=fast[:4], after=slower).holds, "too few boots"
    assert not Confirmation(before=fast, after=tuple(each + 0.15 for each in fast)).holds, "less than 2 %"
    assert not Confirmation(before=fast, after=(9.8, 11, 11, 11, 11)).holds, "p is 0.02"
    assert "+1.00 s in 5 and 5 boots, p = 0.004" in str(Confirmation(before=fast, after=slower))


def test_what_is_slower_is_named() -> None:
    assert slowest_stage({"ready": 3.0, "kernel": 1.0, "userspace": 2.0}) == "userspace"
    assert slowest_stage({"ready": 3.0}) == "ready"
    units = slower_units([{"a": 1.0, "b": 2.0}], [{"a": 1.05, "b": 3.0, "c": 2.0}], 0.1)
    assert units == ("c takes 2.0 s and is new", "b takes 3.0 s, 1.0 s more than before")
    assert slower_units([{}], [{"c": 2.0}], 0.1) == (), "of before nothing is known"


def test_the_interval_of_many_nights_is_one_too() -> None:
    found = proportion(30, 3000)
    assert 0.006 < found.low < 0.01 < found.high < 0.015
