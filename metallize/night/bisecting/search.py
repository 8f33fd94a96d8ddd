"""Which cut comes next, and which change is at fault: a bisection that passes over what says nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metallize.night.attempt import Attempt, Status
from metallize.night.bisecting.chain import Chain
from metallize.night.judging.judgement import Sought
from metallize.night.judging.times import BOOTS, Confirmation


class Shown(StrEnum):
    """What the image at a cut showed."""

    BAD = "bad"
    GOOD = "good"
    NOTHING = "nothing"
    """It cannot be made, or fails in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Where the change from bad to good lies, as far as is known."""

    bad: int
    good: int
    following: int | None
    """The cut that tells most; None where none is left to try."""

    @property
    def steps(self) -> int:
        """So many cuts more, at most, as long as each says something."""
        return (self.good - self.bad - 1).bit_length()


def between(count: int, shown: Mapping[int, Shown]) -> Between:
    """Of a chain of so many changes: the highest cut that is bad, the lowest good one above it, and what is next."""
    bad = max((cut for cut, what in shown.items() if what is Shown.BAD), default=0)
    good = min((cut for cut, what in shown.items() if what is Shown.GOOD and cut > bad), default=count)
    open_ = [cut for cut in range(bad + 1, good) if cut not in shown]
    middle = (bad + good) / 2
    return Between(bad=bad, good=good, following=min(open_, key=lambda cut: (abs(cut - middle), cut), default=None))


def shown_by(sought: Sought, boots: Sequence[Attempt]) -> Shown | None:
    """What the boots that were made for one cut showed; None where there are to be more."""
    if sought.stage:
        return _slower(sought, boots)
    [*seen] = (each for each in boots if each.status.judges)
    if not seen:
        return None
    if any(each.status is Status.FAIL and each.signature == sought.attempt.signature for each in seen):
        return Shown.BAD
    return Shown.GOOD if all(each.status is Status.PASS for each in seen) else Shown.NOTHING


def _slower(sought: Sought, boots: Sequence[Attempt]) -> Shown | None:
    """Against the last good image, both booted in turn."""
    if any(each.ready_seconds is None for each in boots):
        return Shown.NOTHING
    sides: tuple[list[float], list[float]] = ([], [])
    for each in boots:
        if sought.stage in each.stages:
            sides[each.sha256 != sought.before].append(each.stages[sought.stage])
    found = Confirmation(before=tuple(sides[0]), after=tuple(sides[1]))
    if found.enough:
        return Shown.BAD if found.holds else Shown.GOOD
    return None if len(boots) < 2 * BOOTS else Shown.NOTHING


def shown_so_far(sought: Sought, boots: Iterable[Attempt]) -> dict[int, Shown]:
    """What the cuts showed of which all boots were made."""
    by_cut: dict[int, list[Attempt]] = {}
    for each in boots:
        by_cut.setdefault(each.cut, []).append(each)
    found = {cut: shown_by(sought, some) for cut, some in by_cut.items()}
    return {cut: what for cut, what in found.items() if what is not None}


def named(chain: Chain, found: Between) -> str:
    """What is at fault, in words; several where nobody could look between them."""
    return "; or ".join(each.what for each in chain.changes[found.bad : found.good])
