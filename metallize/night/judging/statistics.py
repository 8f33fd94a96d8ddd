"""The few numbers that judge a night, each exact: median and spread, a permutation test, an interval of a share.

Sources: Rousseeuw and Croux, Alternatives to the Median Absolute Deviation (1993) for 1.4826; Fisher, The Design of
Experiments (1935) for the permutation test; Clopper and Pearson (1934) for the interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

NORMAL = 1.4826
"""The MAD of a normal distribution times this is its standard deviation."""
LEVEL = 0.95
"""Of intervals."""
MOST_ARRANGEMENTS = 200_000
"""The exact test of ten against ten is one of 184,756."""
_HALVINGS = 40
"""To a part in 10**12."""
_SLACK = 1e-9
"""Sums of the same numbers in another order may differ by so much of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where some values lie, and how far from each other: neither moves for one that is far off."""

    median: float
    mad: float
    """The median of the distances from the median."""
    count: int

    @property
    def sigma(self) -> float:
        """The standard deviation of a normal distribution with this MAD."""
        return NORMAL * self.mad


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError for no values at all."""
    if not values:
        raise ValueError("nothing has no median")
    middle = statistics.median(values)
    mad = statistics.median([abs(value - middle) for value in values])
    return Spread(median=middle, mad=mad, count=len(values))


def greater_by_chance(before: Sequence[float], after: Sequence[float]) -> float:
    """How likely it is that `after` is so much greater on average where the two are alike: exact and one-sided.

    The share of all ways to deal the values out in which the second mean exceeds the first by at least as much as it
    does. Raises ValueError for an empty side, or for more ways than can be gone through.
    """
    pooled = [*before, *after]
    count = len(after)
    if not before or not after:
        raise ValueError("both sides need values")
    ways = math.comb(len(pooled), count)
    if ways > MOST_ARRANGEMENTS:
        raise ValueError(f"there are {ways} arrangements, and {MOST_ARRANGEMENTS} can be gone through")
    # The total is the same for all: the mean of one side is greater by as much where its sum is.
    seen = math.fsum(after)
    slack = _SLACK * max(1.0, math.fsum(map(abs, pooled)))
    return sum(math.fsum(some) >= seen - slack for some in combinations(pooled, count)) / ways


def abba(times: int) -> str:
    """The order of the boots of two images, A before and B after, each so often: ABBA BAAB ...

    What drifts while they run, as the host warms up or fills its caches, weighs on both alike.
    """
    pairs = ("AB", "BA")
    # Thue-Morse: every drift that is a polynomial of low degree is balanced, not a linear one alone.
    return "".join(pairs[number.bit_count() % 2] for number in range(times))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a share is, at LEVEL."""

    low: float
    high: float


def proportion(count: int, of: int) -> Interval:
    """The Clopper-Pearson interval of `count` of `of`: never narrower than its level, and right for none and for all.

    Raises ValueError where there are more than there can be.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of}")
    if of == 0:
        return Interval(low=0.0, high=1.0)
    tail = (1 - LEVEL) / 2
    low = 0.0 if count == 0 else _share_where(count, of, tail)
    high = 1.0 if count == of else _share_where(count + 1, of, 1 - tail)
    return Interval(low=low, high=high)


def _share_where(count: int, of: int, probability: float) -> float:
    """The share at which so many or more are so probable; by halving, since that rises with the share."""
    # By logarithms: the ways to choose some of a thousand and more are no float.
    whole = math.lgamma(of + 1)
    ways = [(n, whole - math.lgamma(n + 1) - math.lgamma(of - n + 1)) for n in range(count, of + 1)]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        one, other = math.log(middle), math.log1p(-middle)
        so_many = math.fsum(math.exp(way + n * one + (of - n) * other) for n, way in ways)
        if so_many < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2
