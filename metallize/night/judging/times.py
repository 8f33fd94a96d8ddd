"""Times of one series, judged: cheap detection against the nights before, and confirmation by boots in turn. Pure.

A time is suspected where it is longer than the median of the nights before by more than they differ among themselves,
and by more than a floor. Where the image is another than the last good one, something has a reason to be slower and the
floor is low; the same bytes can only be slower because of the host, and the floor is high.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metallize.night.attempt import READY
from metallize.night.judging.statistics import Spread, greater_by_chance, spread

LEAST_NIGHTS = 8
"""Of a series, before it is judged."""
MOST_NIGHTS = 20
"""So many of the nights before count: what drifts slowly is what is usual."""
BOOTS = 5
"""Of each image, to confirm."""
SIGNIFICANCE = 0.01
"""Of the confirmation; 2 of the 252 ways to deal ten boots out are 0.008."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """From where on a time is suspected: so many robust standard deviations, a share and seconds above the median.

    Source of 3.5: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993).
    """

    sigmas: float
    floor: Floor

    def of(self, usual: Spread) -> float:
        """In seconds above the median."""
        return max(self.sigmas * usual.sigma, self.floor.of(usual.median))


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What is less is not told, however sure it is."""

    share: float
    seconds: float

    def of(self, usual: float) -> float:
        """In seconds, of a time that is usually so long."""
        return max(self.share * usual, self.seconds)


SAME_BYTES = Threshold(sigmas=3.5, floor=Floor(share=0.10, seconds=1.0))
OTHER_BYTES = Threshold(sigmas=2.5, floor=Floor(share=0.03, seconds=0.15))
"""Lower: another image has a reason to be slower, and a suspicion costs boots and no alarm."""
UNIT = Threshold(sigmas=3.5, floor=Floor(share=0.5, seconds=1.0))
"""Of one service, in another image: it makes the whole of userspace suspected."""
LEAST_EFFECT = Floor(share=0.02, seconds=0.10)
"""What the confirmation must show on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A time that is longer than usual."""

    name: str
    """A stage, or `ready`."""
    seconds: float
    usual: Spread
    limit: float
    """Seconds above the median from which on it is suspected."""

    @property
    def excess(self) -> float:
        """Seconds above the median."""
        return self.seconds - self.usual.median


def suspicion(
    name: str, seconds: float, before: Sequence[float], *, other_bytes: bool, slow_unit: str = ""
) -> Suspicion | None:
    """Whether a time is longer than the nights before make likely. `before` are at least LEAST_NIGHTS, oldest first.

    With a `slow_unit` it is suspected for that, if it is longer at all.
    """
    usual = spread(before[-MOST_NIGHTS:])
    limit = (OTHER_BYTES if other_bytes else SAME_BYTES).of(usual)
    found = Suspicion(name=name, seconds=seconds, usual=usual, limit=limit)
    return found if found.excess > (0.0 if slow_unit else limit) else None


def slow_unit(units: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> str:
    """The service that is longest above what it took in the nights before, if it is suspected; else empty.

    One that was not there before took no time. Nights in which no services are known do not count.
    """
    known = [each for each in before[-MOST_NIGHTS:] if each]
    if len(known) < LEAST_NIGHTS:
        return ""
    excesses = {}
    for name, seconds in units.items():
        if seconds <= UNIT.floor.seconds:  # no usual time is so short that this were suspected
            continue
        usual = spread([each.get(name, 0.0) for each in known])
        if seconds - usual.median > UNIT.of(usual):
            excesses[name] = seconds - usual.median
    return max(excesses, key=lambda name: excesses[name], default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What boots of both images in turn showed of one time."""

    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def effect(self) -> float:
        """By how many seconds the second image is slower on average."""
        return statistics.fmean(self.after) - statistics.fmean(self.before)

    @property
    def chance(self) -> float:
        """How likely so much is where they are alike."""
        return greater_by_chance(self.before, self.after)

    @property
    def enough(self) -> bool:
        """Whether there were boots enough to say anything."""
        return len(self.before) >= BOOTS and len(self.after) >= BOOTS

    @property
    def holds(self) -> bool:
        """Whether the second image is slower."""
        if not self.enough:
            return False
        least = LEAST_EFFECT.of(statistics.fmean(self.before))
        return self.effect >= least and self.chance < SIGNIFICANCE

    def __str__(self) -> str:
        if not self.before or not self.after:
            return f"{len(self.before)} and {len(self.after)} boots"
        return f"{self.effect:+.2f} s in {len(self.before)} and {len(self.after)} boots, p = {self.chance:.3f}"


def slowest_stage(excesses: Mapping[str, float]) -> str:
    """The stage that explains most of it; `ready`, their sum, where no stage does."""
    stages = {name: seconds for name, seconds in excesses.items() if name != READY}
    return max(stages, key=lambda name: stages[name]) if stages else READY


def slower_units(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]], least: float
) -> tuple[str, ...]:
    """The services that take longer by at least so many seconds, in words, the one that does by most first.

    Of a service that was not there before all of its time counts. None where units are not known of both.
    """
    if not any(before) or not any(after):
        return ()
    old, new = _medians(before), _medians(after)
    gains = sorted(((seconds - old.get(name, 0.0), name) for name, seconds in new.items()), reverse=True)
    return tuple(
        f"{name} takes {new[name]:.1f} s" + (f", {gain:.1f} s more than before" if name in old else " and is new")
        for gain, name in gains
        if gain >= least
    )


def _medians(some: Sequence[Mapping[str, float]]) -> dict[str, float]:
    known = [each for each in some if each]
    names = {name for each in known for name in each}
    return {name: statistics.median([each.get(name, 0.0) for each in known]) for name in names}
