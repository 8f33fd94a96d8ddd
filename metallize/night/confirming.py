"""What a night does about a time that is suspected: it has both images booted in turn, and judges again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metallize.night.attempt import Attempt
from metallize.night.judging.judgement import Facts, Terms, judge
from metallize.night.judging.pace import Pair

BootInTurn = Callable[[Pair], Sequence[Attempt]]
"""Boot the images of a pair in its order on the host of its attempt; each boot is an attempt that `confirms` that one.

Who runs cells gives it. It may return fewer boots than were asked for, or none: then the suspicion stands.
"""

MOST_PAIRS = 4
"""So many suspicions of one night are followed up, those that weigh most: each costs ten boots."""


def confirm(
    attempts: Sequence[Attempt], facts: Facts, boot: BootInTurn, terms: Terms | None = None
) -> tuple[Attempt, ...]:
    """The boots that confirm or clear what is suspected in the last night, made and to be written down.

    Of more than MOST_PAIRS the others stay suspected: a night in which all is slow is the host's.
    """
    wanted = sorted(judge(attempts, facts, terms).wanted, key=lambda pair: -pair.weight)[:MOST_PAIRS]
    return tuple(each for pair in wanted for each in boot(pair) if each.confirms == pair.attempt.run)
