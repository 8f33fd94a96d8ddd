"""Who gets which cell: what each can take, what is told where nobody can, and how long a night takes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from metallize.night.fleet.facts import GIB, Facts, facts_of, lacks, plain_of, supplies_of, takes_of
from metallize.night.fleet.placing import MOST_MISSES, Waiting, place, why_nobody
from tests.unit.night.fleet.fleets import OURS, facts, needs, post, simulate


@pytest.mark.parametrize(
    ("asked", "there", "why"),
    [
        ({}, {}, ""),
        ({"machine": "raspi3b"}, {}, "no emulator or no firmware for machine raspi3b"),
        ({"kvm": True}, {}, "no KVM that works"),
        ({"kvm": True}, {"kvm": True}, ""),
        ({"tpm": True}, {}, "no swtpm"),
        ({"tpm": True}, {"tpm": True}, ""),
        ({"gib": 8.1}, {}, "has 8.0 GiB of memory, and 8.1 are asked"),
        ({"gib": 8.0}, {}, ""),
        ({"cpus": 64}, {"cores": 1}, ""),  # as on one host: it takes all of it
        ({}, {"software": {**OURS, "judge": "b" * 16}}, f"judge {'b' * 16} and not {'a' * 16}"),
        ({}, {"software": {**OURS, "metallize": "0.2"}}, "metallize 0.2 and not 0.1.0"),
        ({}, {"software": {}}, "distributed none and not 2026.8.0"),
    ],
)
def test_who_can_take_a_cell(asked: dict[str, Any], there: dict[str, Any], why: str) -> None:
    found = lacks(needs(**asked), facts(**there), OURS)
    assert why in found
    assert bool(found) == bool(why)


def test_facts_travel() -> None:
    there = facts(kvm=True, arm64=True, tpm=True, whole_guests=True, cores=7)
    assert facts_of(plain_of(there)) == there


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"host": {}}, {"cores": "many"}, {"software": 3}, {"machines": None}]
)
def test_what_is_no_worker_of_a_night_is_none(change: dict[str, Any]) -> None:
    assert facts_of({**plain_of(facts()), **change}) is None
    assert facts_of(None) is None
    assert facts_of({}) is None


@pytest.mark.parametrize(("cpus", "gib"), [(1, 1.0), (2, 7.0), (64, 8.0)])
@pytest.mark.parametrize("said", [{}, {"kvm": True, "arm64": True}, {"whole_guests": True}, {"cores": 1}])
def test_what_a_worker_can_take_is_never_more_than_it_gives(cpus: int, gib: float, said: dict[str, Any]) -> None:
    """Else dask would wait for ever."""
    there = facts(**said)
    asked = needs(cpus=cpus, gib=gib, kvm=there.kvm, arm64=there.arm64)
    assert lacks(asked, there, OURS) == ""
    gives, takes = supplies_of(there), takes_of(asked, there)
    assert set(takes) <= set(gives)
    assert all(takes[name] <= gives[name] for name in takes)
    assert place([Waiting(needs=asked)], [replace_facts(there)], OURS) is not None


def replace_facts(there: Facts) -> Any:
    return replace(post(), facts=there)


def test_what_nobody_can_is_told_with_each_hosts_reason() -> None:
    cell = Waiting(needs=needs(machine="raspi3b", kvm=True))
    assert why_nobody(cell, [], OURS) == "no worker is there"
    told = why_nobody(cell, [post("b"), post("a"), post("c", machines=("raspi3b",))], OURS)
    lacking = "it has no emulator or no firmware for machine raspi3b"
    assert told == f"no worker can take it: a, b: {lacking}; c: it has no KVM that works"
    assert why_nobody(cell, [post("a"), post("c", machines=("raspi3b",), kvm=True)], OURS) == ""


def test_the_longest_goes_to_the_fastest_and_an_image_is_fetched_once() -> None:
    slow, fast, has_it = post("slow", slowness=4.0), post("fast"), post("has-it", slowness=1.1)
    has_it.images.add("x")
    posts = [slow, fast, has_it]
    assert place([Waiting(needs=needs(), sha256="x")], posts, OURS) == (0, has_it)
    assert place([Waiting(needs=needs(), sha256="y")], posts, OURS) == (0, fast)
    assert place([Waiting(needs=needs(), only="slow", sha256="x")], posts, OURS) == (0, slow)
    assert place([], posts, OURS) is None


def test_whoever_missed_a_cell_is_asked_again_only_where_no_other_can_take_it() -> None:
    bad, busy = post("bad"), post("busy", cores=1)
    cell = Waiting(needs=needs(), avoid=frozenset({bad.address}))
    assert place([cell], [bad, busy], OURS) == (0, busy)
    busy.running["other"] = Waiting(needs=needs())
    assert place([cell], [bad, busy], OURS) is None
    assert place([cell], [bad], OURS) == (0, bad)
    bad.misses = MOST_MISSES
    assert place([Waiting(needs=needs())], [bad, busy], OURS) is None
    assert place([Waiting(needs=needs())], [bad], OURS) == (0, bad)


def test_a_slow_worker_gets_nothing_that_the_fast_ones_would_have_done_before() -> None:
    slow, fast = post("slow", slowness=10.0, cores=1), post("fast", cores=1)
    fast.running["other"] = Waiting(needs=needs(), seconds=60.0)
    cell = Waiting(needs=needs(), seconds=60.0)
    assert place([cell], [slow, fast], OURS) is None
    assert place([cell] * 30, [slow, fast], OURS) == (0, slow)
    assert place([replace(cell, seconds=None)], [slow, fast], OURS) == (0, slow)
    assert place([cell], [slow], OURS) == (0, slow)


def test_a_guest_never_begins_where_there_is_no_room() -> None:
    full = post(cores=4)
    full.running["one"] = Waiting(needs=needs(gib=6.0))
    assert place([Waiting(needs=needs(gib=1.0))], [full], OURS) is None, "together they get 80 percent of the memory"
    assert place([Waiting(needs=needs(gib=0.25))], [full], OURS) == (0, full)
    assert place([Waiting(needs=needs(gib=7.0))], [post()], OURS) is not None, "one alone may have more"


def cells_of(rng: random.Random, count: int) -> list[Waiting]:
    """As nights are: a few machines an image, most boots of a minute, some much longer, guests of one to four CPUs."""
    images = [f"{number:064x}" for number in range(count // 3 + 1)]
    return [
        Waiting(
            needs=needs(f"c{number}", cpus=rng.choice((1, 1, 2, 2, 2, 4)), gib=rng.choice((0.5, 1.0, 2.0))),
            sha256=rng.choice(images),
            seconds=min(900.0, rng.lognormvariate(4.1, 0.8)),
        )
        for number in range(count)
    ]


def bound(cells: list[Waiting], cores: int) -> float:
    """No night can be shorter: the longest boot, and all the work on all the cores."""
    work = sum((each.seconds or 0.0) * each.needs.guest.cpus for each in cells)
    return max(work / cores, *((each.seconds or 0.0) for each in cells))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))])
@pytest.mark.parametrize(
    "workers", [1, 2, 8, *(pytest.param(many, marks=pytest.mark.nightly) for many in (16, 32, 64))]
)
def test_a_thousand_cells_take_little_longer_than_they_must(workers: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a simulation, and no secret
    cells = cells_of(rng, 1000)
    posts = [post(f"h{number:02}", cores=rng.choice((4, 8, 16)), memory_bytes=64 * GIB) for number in range(workers)]
    least = bound(cells, sum(each.facts.cores for each in posts))
    night = simulate(cells, posts, rng=rng, noise=0.0)
    assert night.done == {each.needs.guest.what: 1 for each in cells}
    assert least <= night.makespan <= 1.15 * least, f"{night.makespan / least:.3f} times the bound"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_workers_that_die_cost_no_cell_and_count_none_twice(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a simulation, and no secret
    cells = cells_of(rng, 300)
    posts = [
        post(f"h{number}", cores=8, slowness=rng.choice((1.0, 1.0, 4.0)), memory_bytes=64 * GIB) for number in range(12)
    ]
    night = simulate(cells, posts, rng=rng, deaths=6, noise=0.2)
    assert night.done == {each.needs.guest.what: 1 for each in cells}
    assert night.missed > 0
