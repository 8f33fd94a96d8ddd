"""Which cell is booted next, and by whom; pure, so that a fleet of any size can be tried without one.

The longest cells come first (Graham, 1969), then the largest, on the fastest worker that has room, there where the
image is already. One that missed a cell is not asked for it again while another can take it. A slow worker gets nothing
that the others would have done before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from metallize.host.admission import fits
from metallize.host.turns import Holder, Need
from metallize.night.fleet.facts import Facts, Needs, lacks

MOST_MISSES = 3
"""A worker that could not boot so many cells in a row is asked only for what no other can take."""
_SHARE = 2.0
"""A cell is long that takes this part of what is left of the night, if all went on without a gap."""
_AS_FAST = 1.5
"""So much slower than the fastest, and a worker counts as alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A cell that is to be booted."""

    needs: Needs
    sha256: str = ""
    seconds: float | None = None
    """On a fast worker; None where it is not known."""
    avoid: frozenset[str] = frozenset()
    """The addresses of workers that missed it."""
    only: str = ""
    """The host that is to boot it, and no other; empty where any may."""


@dataclass(slots=True, kw_only=True)
class Post:
    """A worker, and what it does."""

    address: str
    facts: Facts
    running: dict[str, Waiting] = field(default_factory=dict)
    """By the keys of their tasks."""
    misses: int = 0
    """In a row."""
    images: set[str] = field(default_factory=set)

    def room(self, need: Need) -> bool:
        """Whether a guest may begin beside those that run there."""
        capacity = self.facts.capacity
        needs = [each.needs.guest for each in self.running.values()]
        holders = [Holder(pid=0, what=each.what, memory_bytes=each.memory_bytes) for each in needs]
        return fits(need, capacity, self.free, holders)

    @property
    def free(self) -> int:
        """The cores that no guest has."""
        capacity = self.facts.capacity
        return capacity.slots - sum(capacity.slots_of(each.needs.guest) for each in self.running.values())


def why_nobody(waiting: Waiting, posts: Sequence[Post], ours: Mapping[str, str]) -> str:
    """Why no worker can ever take a cell; empty where one can."""
    if not posts:
        return "no worker is there"
    whys: dict[str, list[str]] = {}
    for post in posts:
        why = _lacks(waiting, post, ours)
        if not why:
            return ""
        whys.setdefault(why, []).append(post.facts.host.id)
    told = "; ".join(sorted(f"{', '.join(sorted(set(hosts)))}: {why}" for why, hosts in whys.items()))
    return f"no worker can take it: {told}"


def place(waiting: Sequence[Waiting], posts: Sequence[Post], ours: Mapping[str, str]) -> tuple[int, Post] | None:
    """The next cell to be begun, by its number, and the worker that gets it; None where nothing is to be begun now.

    What fits goes before what does not fit beside those that run.
    """
    free = {post.address for post in posts if post.free > 0}
    if not free:
        return None
    for number in _order(waiting, posts):
        cell = waiting[number]
        able = _willing(cell, posts, ours)
        fit = [post for post in able if post.address in free and post.room(cell.needs.guest)]
        fit = [post for post in fit if not _better_waits(cell, post, able, waiting, posts)]
        if fit:
            return number, min(fit, key=lambda post: _rank(cell, post))
    return None


def _order(waiting: Sequence[Waiting], posts: Sequence[Post]) -> list[int]:
    """Those first that would make the night longer, and those of which nothing is known; then the largest guests.

    Small guests fill what is left beside large ones; the other way round there is seldom room for a large one.
    """
    left = sum((each.seconds or 0.0) * max(1, each.needs.guest.cpus) for each in waiting)
    most = left / max(1, sum(post.facts.cores for post in posts)) / _SHARE

    def key(number: int) -> tuple[object, ...]:
        cell = waiting[number]
        long = cell.seconds is None or cell.seconds >= most
        seconds = math.inf if cell.seconds is None else cell.seconds
        return (not long, 0 if long else -cell.needs.guest.cpus, -seconds, number)

    return sorted(range(len(waiting)), key=key)


def _lacks(waiting: Waiting, post: Post, ours: Mapping[str, str]) -> str:
    if waiting.only and post.facts.host.id != waiting.only:
        return f"it is to boot on {waiting.only}"
    return lacks(waiting.needs, post.facts, ours)


def _willing(cell: Waiting, posts: Iterable[Post], ours: Mapping[str, str]) -> list[Post]:
    """Those that can take it, without those that did badly where others are left."""
    able = [post for post in posts if not _lacks(cell, post, ours)]
    others = [post for post in able if post.address not in cell.avoid]
    return [post for post in others if post.misses < MOST_MISSES] or others or able


def _better_waits(
    cell: Waiting, post: Post, able: Sequence[Post], waiting: Sequence[Waiting], posts: Sequence[Post]
) -> bool:
    """Whether a slow worker would still be at it when the fast ones had done all, this cell too."""
    fastest = min(each.facts.host.slowness for each in able)
    ratio = post.facts.host.slowness / fastest
    if ratio <= _AS_FAST or cell.seconds is None:
        return False
    fast = [each for each in posts if each.facts.host.slowness <= _AS_FAST * fastest]
    cells = [*waiting, *(each for some in fast for each in some.running.values())]
    work = sum((each.seconds or 0.0) * max(1, each.needs.guest.cpus) for each in cells)
    return cell.seconds * ratio > work / sum(each.facts.cores for each in fast) + cell.seconds


def _rank(cell: Waiting, post: Post) -> tuple[object, ...]:
    """The lowest is best: alike in speed, with the image, with most cores free; then by name, to be the same again."""
    speed = round(2 * math.log2(max(post.facts.host.slowness, 0.01)))
    return (speed, cell.sha256 not in post.images, -post.free / post.facts.cores, post.address)
