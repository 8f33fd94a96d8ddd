"""What a night does about a time that is suspected: it has both images booted in turn, and judges again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from metallize.errors import MetallizeError
from metallize.night.attempt import Attempt
from metallize.night.judging.judgement import Facts, Terms, judge
from metallize.night.judging.pace import Pair


class InTurn(Protocol):
    """Who boots the images of a pair: the night on its host, or a simulation."""

    def missing(self, pair: Pair) -> str:
        """Why the pair cannot be booted here; empty where it can."""

    def boot(self, pair: Pair, number: int, sha256: str) -> Attempt:
        """One boot of one of them, as an attempt that `confirms` the pair's. Raises MetallizeError."""

    def unconfirmed(self, pair: Pair, number: int, reason: str) -> Attempt:
        """The line that says why no more boots are made: it judges nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the boots of a night that confirm something may cost."""

    boots: int = 40
    """Four suspicions, at ten boots each: a night in which all is slow is the host's."""
    time: timedelta = timedelta(hours=1)


@dataclass(slots=True)
class _Left:
    """What is left of a budget."""

    budget: Budget
    boots: int
    seconds: float

    @classmethod
    def of(cls, budget: Budget, made: Iterable[Attempt]) -> _Left:
        found = cls(budget=budget, boots=budget.boots, seconds=budget.time.total_seconds())
        for each in made:
            found.take(each)
        return found

    def take(self, boot: Attempt) -> None:
        self.boots -= 1
        self.seconds -= boot.metrics.get("seconds", 0.0)

    def lacks(self, boots: int, seconds: float) -> str:
        """Why so many boots of so many seconds each are not made; empty where they are."""
        if boots > self.boots:
            return f"{boots} boots more, and of the night's {self.budget.boots} for that {max(self.boots, 0)} are left"
        if boots * seconds > self.seconds:
            minutes, left = boots * seconds / 60, max(self.seconds, 0.0) / 60
            whole = self.budget.time.total_seconds() / 60
            return f"it takes {minutes:.0f} minutes, and of the night's {whole:.0f} for that {left:.0f} are left"
        return ""


def confirm(
    attempts: Iterable[Attempt],
    facts: Facts,
    in_turn: InTurn,
    terms: Terms | None = None,
    *,
    budget: Budget | None = None,
    mine: Callable[[Attempt], bool] = lambda _: True,
) -> Iterator[Attempt]:
    """The boots that confirm or clear what is suspected in the last night, each as soon as it is made.

    What weighs most comes first. Boots that are in `attempts` already are not made again: a night that was interrupted
    goes on behind them. Where no boots are made, or no more, a line says why. `mine` are the attempts of this night.
    """
    known = tuple(attempts)
    made: dict[str, list[Attempt]] = defaultdict(list)
    for each in known:
        if each.confirms and not each.cut:
            made[each.confirms].append(each)
    wanted = [pair for pair in judge(known, facts, terms).wanted if mine(pair.attempt)]
    left = _Left.of(budget or Budget(), (each for each in known if _counts(each) and mine(each)))
    for pair in sorted(wanted, key=lambda pair: (-pair.weight, pair.attempt.run)):
        own = made[pair.attempt.run]
        if all(each.status.judges for each in own):  # else a line of it says why it was given up
            yield from _boots(pair, len(own), in_turn, left)


def _counts(boot: Attempt) -> bool:
    """Whether it is one that confirms something: not one of those that look for a layer."""
    return bool(boot.confirms) and not boot.cut and boot.status.judges


def _boots(pair: Pair, made: int, in_turn: InTurn, left: _Left) -> Iterator[Attempt]:
    """The boots that a pair lacks, behind so many that were made."""
    order = pair.order
    usual = pair.attempt.metrics.get("seconds", 0.0)
    for number, side in enumerate(order[made:], start=made + 1):
        still = len(order) - number + 1
        why = left.lacks(still, usual) or ("" if number > made + 1 else in_turn.missing(pair))
        if why:
            yield in_turn.unconfirmed(pair, number, why)
            return
        try:
            boot = in_turn.boot(pair, number, pair.before if side == "A" else pair.attempt.sha256)
        except MetallizeError as exc:
            text = exc.message.strip().partition("\n")[0] or type(exc).__name__
            yield in_turn.unconfirmed(pair, number, f"boot {number} of {len(order)} could not be made: {text}")
            return
        left.take(boot)
        yield boot
        if boot.ready_seconds is None:  # five of each have to be ready, and one of them never was
            image = "the image before" if side == "A" else "the image that was slow"
            reason = f"boot {number} of {len(order)}, of {image}, was not ready: {boot.reason or boot.stage}"
            yield in_turn.unconfirmed(pair, number + 1, reason)
            return
