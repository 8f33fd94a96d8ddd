"""What a night does about an image that got worse: it makes images between it and the last good one, and boots them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from metallize.build.store import Stored
from metallize.errors import MetallizeError
from metallize.night.attempt import Attempt
from metallize.night.bisecting.chain import Chain
from metallize.night.bisecting.search import Between, Shown, between, named, shown_by, shown_so_far
from metallize.night.judging.judgement import Facts, Sought, Terms, judge
from metallize.night.judging.statistics import abba
from metallize.night.judging.times import BOOTS

MOST_TIME = timedelta(hours=1)
PER_CUT = 100
"""The boots of cut 3 are numbered from 301 on: none has the number of another boot that was made for the same run."""


class Bench(Protocol):
    """Who makes and boots the images in between: the night, or a simulation."""

    def chain(self, sought: Sought) -> Chain:
        """What lies between. Raises MetallizeError where nobody can tell."""

    def image(self, sought: Sought, chain: Chain, cut: int) -> AbstractContextManager[Stored]:
        """The image at a cut, while the body runs. Raises MetallizeError where it cannot be made."""

    def boot(self, sought: Sought, number: int, cut: int, image: Stored | None) -> Attempt:
        """One boot of it, or of the last good image where it is None. Raises MetallizeError."""

    def ended(self, sought: Sought, cut: int, layer: str, reason: str) -> Attempt:
        """The line that ends the search: it judges nothing."""


@dataclass(slots=True)
class _Clock:
    """What is left of a night's time for this."""

    end: float
    now: Callable[[], float]

    @property
    def left_seconds(self) -> float:
        return self.end - self.now()


def seek(
    attempts: Iterable[Attempt],
    facts: Facts,
    bench: Bench,
    terms: Terms | None = None,
    *,
    most: timedelta = MOST_TIME,
    mine: Callable[[Attempt], bool] = lambda _: True,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Attempt]:
    """The boots that find the layer at fault of what got worse in the last night, each as soon as it is made.

    A line ends each search, and says what was found or why nothing was. Boots that are in `attempts` already are not
    made again. `mine` are the attempts of this night.
    """
    known = tuple(attempts)
    made: dict[str, list[Attempt]] = defaultdict(list)
    for each in known:
        if each.cut:
            made[each.confirms].append(each)
    left = _Clock(clock() + most.total_seconds(), clock)
    for sought in judge(known, facts, terms).sought:
        own = made[sought.attempt.run]
        if mine(sought.attempt) and all(each.status.judges for each in own):
            yield from _search(sought, own, bench, left)


def _search(sought: Sought, own: list[Attempt], bench: Bench, clock: _Clock) -> Iterator[Attempt]:
    try:
        chain = bench.chain(sought)
    except MetallizeError as exc:
        yield bench.ended(sought, 1, "", _line(exc))
        return
    count = len(chain.changes)
    if not count:
        yield bench.ended(sought, 1, "", "nothing that it is made of is another")
        return
    shown, whys = shown_so_far(sought, own), dict[int, str]()
    while (found := between(count, shown)).following is not None:
        why = _lacks(sought, found, clock)
        if why:
            yield bench.ended(sought, count, "", f"it is one of {found.good - found.bad}: {named(chain, found)}; {why}")
            return
        cut = found.following
        boots = [each for each in own if each.cut == cut]
        try:
            with bench.image(sought, chain, cut) as image:
                for boot in _boots(sought, cut, image, len(boots), bench):
                    boots.append(boot)
                    yield boot
                    if shown_by(sought, boots) is not None:
                        break
        except MetallizeError as exc:
            whys[cut] = _line(exc)
        shown[cut] = shown_by(sought, boots) or Shown.NOTHING
    yield bench.ended(sought, count, named(chain, found), _how(found, shown, whys))


def _boots(sought: Sought, cut: int, image: Stored, made: int, bench: Bench) -> Iterator[Attempt]:
    """Of a failure one, of a time both in turn; behind so many that were made."""
    order = abba(BOOTS) if sought.stage else "B"
    for number, side in enumerate(order[made:], start=made + 1):
        yield bench.boot(sought, PER_CUT * cut + number, cut, image if side == "B" else None)


def _lacks(sought: Sought, found: Between, clock: _Clock) -> str:
    """Why no further cut is tried; empty where one is."""
    boots = 2 * BOOTS if sought.stage else 1
    needed = boots * sought.attempt.metrics.get("seconds", 0.0)
    left = max(clock.left_seconds, 0.0)
    if left > needed:
        return ""
    return (
        f"the next of {found.steps} images takes {needed / 60:.0f} minutes, and of the night's {left / 60:.0f} are left"
    )


def _how(found: Between, shown: dict[int, Shown], whys: dict[int, str]) -> str:
    """What the search went by, in a sentence."""
    told = len([each for each in shown.values() if each is not Shown.NOTHING])
    words = "1 image between tells so" if told == 1 else f"{told} images between tell so"
    how = words if told else "nothing else is another"
    silent = [cut for cut in range(found.bad + 1, found.good) if shown.get(cut) is Shown.NOTHING]
    if not silent:
        return how
    cut = silent[0]
    why = whys.get(cut, "it fails in another way, or never is ready")
    return f"{how}; {len(silent)} could not tell, the first since {why}"


def _line(exc: MetallizeError) -> str:
    return exc.message.strip().partition("\n")[0] or type(exc).__name__
