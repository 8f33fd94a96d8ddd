"""What the attempts of one night at one cell come to, and how often that is so: a failure that went away is FLAKY."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metallize.night.attempt import Attempt, Cell, Status
from metallize.night.judging.statistics import Interval, proportion

MOST_TRIES = 3
"""So often a cell is tried in a night of which nothing was seen."""


class Outcome(StrEnum):
    """What a cell came to in a night."""

    PASS = "PASS"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    FLAKY = "FLAKY"
    """The same bytes failed and passed: never as good as passed."""
    ERROR = "ERROR"
    MISS = "MISS"
    SKIP = "SKIP"

    @property
    def bad(self) -> bool:
        """Whether somebody has to see to it."""
        return self not in (Outcome.PASS, Outcome.SKIP)

    @property
    def judges(self) -> bool:
        """Whether something was seen of the image."""
        return self in (Outcome.PASS, Outcome.FAIL, Outcome.FLAKY)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellNight:
    """One cell in one host's night."""

    night: str
    cell: Cell
    attempts: tuple[Attempt, ...]
    """In their order, at least one; those that confirm something are none of them."""

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.attempts)

    @property
    def decisive(self) -> Attempt:
        """The attempt that says most: the first that failed, else the first that passed, else the last."""
        for status in (Status.FAIL, Status.PASS):
            found = next((each for each in self.attempts if each.status is status), None)
            if found is not None:
                return found
        return self.attempts[-1]

    @property
    def known_issue(self) -> str:
        """The reference of what is known, where every failure of this night is; else empty."""
        failed = [each.known_issue for each in self.attempts if each.status is Status.FAIL]
        return failed[0] if failed and all(failed) else ""

    @property
    def passed(self) -> Attempt | None:
        """The first that passed."""
        return next((each for each in self.attempts if each.status is Status.PASS), None)


def outcome_of(attempts: Sequence[Attempt]) -> Outcome:
    """What they come to: pass and fail outweigh what says nothing of the image, and both together are flaky."""
    statuses = {each.status for each in attempts}
    if {Status.PASS, Status.FAIL} <= statuses:
        return Outcome.FLAKY
    order = (Status.FAIL, Status.PASS, Status.ERROR, Status.MISS)
    return Outcome(next((status for status in order if status in statuses), Status.SKIP))


def cell_nights(attempts: Iterable[Attempt]) -> tuple[CellNight, ...]:
    """By night, cell and leading host, in the order of nights and cells; boots that confirm something are left out."""
    found: dict[tuple[str, Cell, str], list[Attempt]] = defaultdict(list)
    for each in attempts:
        if not each.confirms:
            found[each.night, each.cell, each.leader].append(each)
    return tuple(
        CellNight(night=night, cell=cell, attempts=tuple(sorted(some, key=lambda each: (each.attempt, each.run))))
        for (night, cell, _), some in sorted(found.items(), key=lambda item: item[0])
    )


def again(attempts: Sequence[Attempt]) -> str:
    """Why a cell is to be tried once more in this night; empty where it is not.

    What says nothing of the image is retried. A failure is looked at once more, to know whether it is one that stays:
    that changes what is known, and never what it counts for.
    """
    statuses = [each.status for each in attempts]
    if Status.FAIL in statuses:
        seen = sum(status.judges for status in statuses)
        return "for diagnosis: does it fail again?" if seen == 1 and len(statuses) <= MOST_TRIES else ""
    if not statuses or statuses[-1] in (Status.PASS, Status.SKIP):
        return ""
    return f"nothing was seen of the image ({statuses[-1]})" if len(statuses) < MOST_TRIES else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something was so, with the interval in which its true share is."""

    count: int
    of: int

    @property
    def interval(self) -> Interval:
        return proportion(self.count, self.of)

    def __str__(self) -> str:
        low, high = (round(100 * edge) for edge in (self.interval.low, self.interval.high))
        return f"{self.count} of {self.of}" + (f", {low}-{high} %" if self.of else "")


def rate_of(nights: Iterable[CellNight], *outcomes: Outcome) -> Rate:
    """How many of the nights in which something was seen of the image came to one of these."""
    seen = [each.outcome for each in nights if each.outcome.judges]
    return Rate(count=sum(outcome in outcomes for outcome in seen), of=len(seen))
