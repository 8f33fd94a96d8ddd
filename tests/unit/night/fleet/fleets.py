"""Workers and cells as the tests of the fleet make them, and a night on a fleet that is there in numbers alone."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from metallize.host.turns import Need
from metallize.night.attempt import Host
from metallize.night.fleet.facts import GIB, Facts, Needs
from metallize.night.fleet.placing import Post, Waiting, place

OURS = MappingProxyType({"metallize": "0.1.0", "judge": "a" * 16, "python": "3.11", "distributed": "2026.8.0"})


def facts(name: str = "h1", **said: Any) -> Facts:
    """A worker of normal speed with two cores and 8 GiB, which boots seabios and ovmf."""
    host = Host(id=name, model="cpu x2", accelerator="kvm", slowness=said.pop("slowness", 1.0))
    said = {"cores": 2, "memory_bytes": 8 * GIB, "machines": ("ovmf", "seabios"), "software": OURS, **said}
    return Facts(host=host, **said)


def post(name: str = "h1", **said: Any) -> Post:
    return Post(address=f"tcp://{name}:1", facts=facts(name, **said))


def needs(what: str = "web on seabios", cpus: int = 1, gib: float = 1.0, **said: Any) -> Needs:
    said.setdefault("machine", "seabios")
    return Needs(guest=Need(what=what, cpus=cpus, memory_bytes=int(gib * GIB)), **said)


@dataclass
class Night:
    """What a simulated night came to."""

    makespan: float = 0.0
    done: dict[str, int] = field(default_factory=dict)
    """How often each cell was booted to its end."""
    missed: int = 0
    busiest: float = 0.0


def simulate(
    cells: Sequence[Waiting], posts: Sequence[Post], *, rng: random.Random, deaths: int = 0, noise: float = 0.0
) -> Night:
    """Time goes from one end of a boot to the next. `deaths` workers go at some moment and never come back."""
    night = Night()
    left = sorted(cells, key=lambda each: -(each.seconds or 1e9))
    live = list(posts)
    whole = sum((each.seconds or 0.0) * each.needs.guest.cpus for each in cells) / sum(p.facts.cores for p in posts)
    gone = sorted(rng.uniform(0, whole) for _ in range(deaths))
    ends: list[tuple[float, int, str, Post]] = []
    now, number = 0.0, 0
    while left or ends:
        while (found := place(left, live, OURS)) is not None:
            index, where = found
            cell = left.pop(index)
            number += 1
            key = f"{number}"
            where.running[key] = cell
            took = (cell.seconds or 60.0) * where.facts.host.slowness * (1 + rng.uniform(-noise, noise))
            heapq.heappush(ends, (now + took, number, key, where))
            assert where.free >= 0
        assert ends, "something waits, and nothing goes on"
        if gone and gone[0] < ends[0][0]:
            now = gone.pop(0)
            victim = live.pop(rng.randrange(len(live)))
            for cell in victim.running.values():
                night.missed += 1
                left.append(replace(cell, avoid=cell.avoid | {victim.address}))
            left.sort(key=lambda each: -(each.seconds or 1e9))
            ends = [each for each in ends if each[3] is not victim]
            heapq.heapify(ends)
            continue
        now, _, key, where = heapq.heappop(ends)
        cell = where.running.pop(key)
        where.images.add(cell.sha256)
        night.done[cell.needs.guest.what] = night.done.get(cell.needs.guest.what, 0) + 1
    night.makespan = now
    return night
