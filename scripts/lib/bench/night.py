"""The part `night`: what noise does to the judge, how much worse is seen, and how long a year takes to show."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bench.measuring import Bench
from bench.nights import CELLS, NIGHTS, NOISES, PLANTS, World, found, measured, ordinary, planted, power
from metallize.night.attempt import Attempt, Cell, Status
from metallize.night.facts import facts_folder, write_facts
from metallize.night.history import append, history_path, read
from metallize.night.pages.site import write_site

SEEDS = (1, 2, 3)
POWER_SEEDS = range(40)
SHARES = (0.02, 0.03, 0.05, 0.08, 0.12, 0.20)
_YEAR = 365
HISTORY = "METALLIZE_BENCH_HISTORY"
"""A build folder whose nightlies say how much boots differ on a real host."""


def night(bench: Bench) -> None:
    """All of it; no host is needed, and nothing is booted."""
    noises = dict(NOISES)
    folder = os.environ.get(HISTORY)
    if folder:
        noises["yours"] = measured("yours", read(history_path(Path(folder))).attempts)
    for noise in noises.values():
        bench.note(f"{noise.name}: {noise.origin}")
        worlds = [ordinary(noise, seed) for seed in SEEDS]
        alarms = sum(each.alarms for world in worlds for each in world.findings())
        boots = sum(world.boots for world in worlds) / (len(SEEDS) * NIGHTS)
        made_of = f"{len(SEEDS)} times {NIGHTS} nights of {len(CELLS)} cells, {boots:.1f} boots a night to confirm"
        bench.add(f"alarms in nights of ordinary noise ({noise.name})", alarms, 0, "alarms", made_of)
    quiet = noises.get("yours", noises["quiet"])
    for plant in PLANTS:
        missed = sum(not found(planted(quiet, seed, plant), plant) for seed in SEEDS)
        bench.add(f"missed: {plant.name}", missed, 0, "nights", f"{len(SEEDS)} seeds, told with its cause in its night")
    for noise in noises.values():
        for stage in ("kernel", "userspace"):
            curve = [power(noise, stage, share, POWER_SEEDS) for share in SHARES]
            told = ", ".join(f"{share:+.0%} {seen:.0%}" for share, seen in zip(SHARES, curve, strict=True))
            bench.note(f"power, one machine, first night, {noise.name}, stage {stage}: {told}")
    seconds = year(bench.scratch / "year")
    bench.add(
        "the pages of a year, processor time",
        seconds,
        5,
        "s",
        f"{_YEAR} nights of {len(CELLS)} cells, with their index anew",
    )


def year(folder: Path, nights: int = _YEAR) -> float:
    """Write a year down and show it; the processor time that the showing took, in seconds."""
    write_year(folder, nights)
    begun = time.process_time()
    write_site(folder)
    return time.process_time() - begun


def write_year(folder: Path, nights: int = _YEAR, *, units: int = 0, failing: Sequence[Cell] = ()) -> None:
    """The history and the images of so many nights of CELLS, with so many more services in each boot.

    `failing` are cells that fail in every seventh night, the last among them.
    """
    world = World.of(NOISES["quiet"], seed=1)
    for number in range(nights):
        world.night(number, confirming=False)
    more = {f"service-number-{number}.service": 0.01 * number for number in range(units)}
    began = sorted({each.night for each in world.attempts})
    bad = set(began[::-7])

    def one(attempt: Attempt) -> Attempt:
        seen = replace(attempt, run_folder="", units=MappingProxyType({**attempt.units, **more}))
        if attempt.cell not in failing or attempt.night not in bad:
            return seen
        reason = "command `systemctl is-active shop.service`: exit-status is 3, expected 0"
        return replace(seen, status=Status.FAIL, stage="assert", reason=reason, signature="assert: command")

    append(history_path(folder), map(one, world.attempts))
    for facts in world.images.values():
        write_facts(facts_folder(folder), facts)
