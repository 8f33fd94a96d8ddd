"""The times of one series, night after night: what is usual, what is suspected, and what has come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metallize.model.report import Stage
from metallize.night.attempt import READY, Attempt, Host
from metallize.night.judging.findings import Verdict
from metallize.night.judging.statistics import abba
from metallize.night.judging.times import (
    BOOTS,
    LEAST_NIGHTS,
    MOST_NIGHTS,
    Confirmation,
    Suspicion,
    slow_unit,
    slowest_stage,
    suspicion,
)

_USERSPACE = str(Stage.USERSPACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two images that are to be booted in turn on one host and machine, to know whether the second is slower."""

    attempt: Attempt
    """The one that was slow: its cell, its host, its image."""
    before: str
    """The digest of the last good image."""
    weight: float
    """By how many times its limit the longest time is too long."""
    begun_on: Host | None = None
    """Where boots of it were made already; None where there are none yet."""

    @property
    def order(self) -> str:
        """A is the image before, B the one that was slow: ABBA, so often."""
        return abba(BOOTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """What is made of the times of one attempt."""

    verdict: Verdict
    suspicions: tuple[Suspicion, ...] = ()
    confirmed: Mapping[str, Confirmation] = field(default_factory=dict)
    """Of each time that was suspected, where boots were made."""
    before: str = ""
    """The digest of the image that it is compared with."""
    wanted: Pair | None = None
    boots: tuple[tuple[Attempt, ...], tuple[Attempt, ...]] = ((), ())
    """Of the image before, and of this one."""
    nights: int = 0
    """Of the series, before this one."""
    given_up: str = ""
    """Why nobody has booted both images in turn, or not to the end."""

    @property
    def stage(self) -> str:
        """The stage that explains most of what was confirmed, or suspected."""
        held = {name: each.effect for name, each in self.confirmed.items() if each.holds}
        return slowest_stage(held or {each.name: each.excess for each in self.suspicions})

    @property
    def seconds(self) -> float:
        """By how much that stage is slower, as far as is known."""
        found = next((each.excess for each in self.suspicions if each.name == self.stage), 0.0)
        return self.confirmed[self.stage].effect if self.stage in self.confirmed else found


@dataclass(slots=True)
class Pace:
    """One series: give it every passed attempt in the order of nights."""

    usual: list[Attempt] = field(default_factory=list)
    """The attempts of the nights that nothing is said against, oldest first."""
    good: str = ""
    """The digest of the last image of these."""
    _pending: list[Attempt] = field(default_factory=list)
    """The nights that are suspected and that nobody has confirmed or cleared."""

    def see(self, attempt: Attempt, boots: Sequence[Attempt]) -> Paced | None:
        """Judge an attempt's times by those before, and by the boots that were made to confirm; None: all is usual."""
        nights = len(self.usual)
        found = self._suspicions(attempt)
        if not found:
            self._take(attempt)
            return Paced(verdict=Verdict.YOUNG, nights=nights) if nights < LEAST_NIGHTS else None
        before, after = self._sides(attempt, boots)
        why = next((each.reason for each in boots if not each.status.judges), "")
        names = [each.name for each in found] if before and after else []
        paced = Paced(
            verdict=Verdict.SUSPECT, suspicions=found, before=self.good, boots=(before, after), nights=nights,
            given_up=why, confirmed={name: _confirmation(name, before, after) for name in names},
        )  # fmt: skip
        if attempt.sha256 == self.good:
            self._take(attempt)
            return _with(paced, Verdict.CLEARED)
        if any(each.holds for each in paced.confirmed.values()):
            # What is usual from now on: the boots that showed it are its first nights.
            self.usual = [*after]
            self._take(attempt)
            return _with(paced, Verdict.WORSE)
        if paced.confirmed and all(each.enough for each in paced.confirmed.values()):
            self._take(attempt)
            return _with(paced, Verdict.CLEARED)
        self._pending.append(attempt)
        if len(self._pending) >= LEAST_NIGHTS:  # nobody will confirm it: it is what is usual from now on
            self.usual, self.good, self._pending = self._pending, attempt.sha256, []
        weight = max(each.excess / each.limit for each in found)
        wanted = (
            Pair(attempt=attempt, before=self.good, weight=weight, begun_on=boots[0].host if boots else None)
            if self.good and attempt.sha256 != self.good
            else None
        )
        return _with(paced, Verdict.SUSPECT, wanted)

    @property
    def compared(self) -> tuple[str, ...]:
        """The images that the next attempt may be compared with, or booted in turn with."""
        return (self.good, *(each.sha256 for each in self._pending)) if self.good else ()

    def _take(self, attempt: Attempt) -> None:
        self.usual = [*self.usual, attempt][-MOST_NIGHTS:]
        self.good = attempt.sha256
        self._pending = []

    def _suspicions(self, attempt: Attempt) -> tuple[Suspicion, ...]:
        found = []
        other = attempt.sha256 != self.good
        unit = slow_unit(attempt.units, [each.units for each in self.usual]) if other else ""
        for name, seconds in attempt.stages.items():
            before = [each.stages[name] for each in self.usual if name in each.stages]
            if len(before) >= LEAST_NIGHTS:
                each = suspicion(name, seconds, before, other_bytes=other, slow_unit=unit if name == _USERSPACE else "")
                if each is not None:
                    found.append(each)
        return tuple(found)

    def _sides(self, attempt: Attempt, boots: Sequence[Attempt]) -> tuple[tuple[Attempt, ...], tuple[Attempt, ...]]:
        passed = [each for each in boots if each.ready_seconds is not None and each.series == attempt.series]
        before = tuple(each for each in passed if each.sha256 == self.good)
        return before, tuple(each for each in passed if each.sha256 == attempt.sha256)


def _confirmation(name: str, before: Sequence[Attempt], after: Sequence[Attempt]) -> Confirmation:
    return Confirmation(
        before=tuple(each.stages[name] for each in before if name in each.stages),
        after=tuple(each.stages[name] for each in after if name in each.stages),
    )


def _with(paced: Paced, verdict: Verdict, wanted: Pair | None = None) -> Paced:
    return Paced(
        verdict=verdict, suspicions=paced.suspicions, confirmed=paced.confirmed, before=paced.before, wanted=wanted,
        boots=paced.boots, nights=paced.nights, given_up=paced.given_up,
    )  # fmt: skip


def told(paced: Paced) -> str:
    """What is longer, in a sentence."""
    stage = paced.stage
    first = next((each for each in paced.suspicions if each.name == stage), None)
    others = [each.name for each in paced.suspicions if each.name != stage]
    also = f"; longer too: {', '.join(others)}" if others else ""
    if first is None:
        return f"{stage} takes longer than it did"
    usual = first.usual.median
    name = "the time until ready" if stage == READY else f"the stage {stage}"
    share = f", {first.excess / usual:+.0%}" if usual > 0 else ""
    proof = f"; both images in turn: {paced.confirmed[stage]}" if stage in paced.confirmed else ""
    length = f"{first.seconds:.2f} s, usually {usual:.2f} s ({first.excess:+.2f} s{share})"
    return f"{name} took {length}{proof}{_how_sure(paced)}{also}"


def _how_sure(paced: Paced) -> str:
    """What came of the boots in turn, in a word; nothing where the same bytes were slower."""
    if paced.verdict is Verdict.WORSE:
        return ": confirmed"
    if paced.verdict is Verdict.CLEARED:
        return ": refuted" if paced.confirmed else ""
    if paced.verdict is not Verdict.SUSPECT:
        return ""
    made = min(map(len, paced.boots))
    so_far = f"{len(paced.boots[0])} and {len(paced.boots[1])} boots of {BOOTS} each are not enough" if made else ""
    return f"; unconfirmed: {paced.given_up or so_far or 'nobody has booted both images in turn'}"
