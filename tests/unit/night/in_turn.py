"""Both images of a pair booted in turn, in no time and on no host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metallize.errors import MetallizeError
from metallize.night.attempt import Attempt
from metallize.night.judging.pace import Pair
from tests.unit.night.attempts import attempt


@dataclass
class Simulated:
    """Boots pairs in no time: the image before takes so long, the other one so long."""

    before: float
    later: float
    asked: list[Pair] = field(default_factory=list)
    lacks: str = ""
    """What `missing` says."""
    breaks: Mapping[int, MetallizeError] = field(default_factory=dict)
    """Boots that cannot be made, by number."""
    hangs: frozenset[int] = frozenset()
    """Boots that never are ready, by number."""
    seconds: float = 30.0

    def missing(self, pair: Pair) -> str:
        self.asked.append(pair)
        return self.lacks

    def boot(self, pair: Pair, number: int, sha256: str) -> Attempt:
        if number in self.breaks:
            raise self.breaks[number]
        kernel = (self.before if sha256 == pair.before else self.later) + number / 100
        said: dict[str, Any] = {"cell": pair.attempt.cell, "attempt": number, "confirms": pair.attempt.run}
        said["metrics"] = {"seconds": self.seconds}
        if number in self.hangs:
            return replace(attempt(11, "FAIL", sha256=sha256, **said), night=pair.attempt.night)
        return replace(
            attempt(11, sha256=sha256, stages={"kernel": kernel, "ready": 15 + kernel}, **said),
            night=pair.attempt.night,
        )

    def unconfirmed(self, pair: Pair, number: int, reason: str) -> Attempt:
        said: dict[str, Any] = {"cell": pair.attempt.cell, "attempt": number, "confirms": pair.attempt.run}
        return replace(attempt(11, "SKIP", reason=reason, **said), night=pair.attempt.night)
