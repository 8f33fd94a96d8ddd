"""Nights by simulation: what ordinary noise does to the judge, and how much worse an image must be to be seen.

Nothing is booted and no host is needed: attempts are made up as `metallize nightly` would write them, and judged by the
very functions that judge real ones. What is made up is the times; NOISES says where their spread comes from.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from metallize.night.attempt import NO_WORDS, NOTHING, READY, Attempt, Cell, Host, Series, Status, run_id
from metallize.night.confirming import confirm
from metallize.night.facts import ImageFacts, Seen
from metallize.night.judging.findings import Finding
from metallize.night.judging.judgement import judge
from metallize.night.judging.pace import Pair
from metallize.night.judging.statistics import spread
from metallize.night.judging.times import LEAST_NIGHTS

CELLS = tuple(
    Cell(profile=profile, output="", machine=machine)
    for profile in ("livecd", "ext4", "server", "cloud")
    for machine in ("seabios", "ovmf", "ovmf-secureboot")
)
NIGHTS = 20
"""That are judged, after LEAST_NIGHTS that are too young for it."""
_FIRST = datetime(2025, 1, 1, 2, 0, tzinfo=UTC)
_UNITS = MappingProxyType({"systemd-udev-trigger.service": 0.20, "networkd.service": 0.17, "ssh.service": 0.12})
"""The share of userspace that each takes."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How long a boot takes, and how much that differs by chance."""

    name: str
    origin: str
    stages: Mapping[str, float]
    """Seconds, at the median."""
    spread: Mapping[str, float]
    """The standard deviation of each stage's logarithm, from boot to boot."""
    night: float
    """That of what all boots of a night have in common: the host's own mood."""
    outliers: float = 0.02
    """So many boots have one stage that takes half as long again."""

    def boot(
        self, rng: random.Random, mood: float, slower: Mapping[str, float], factor: Mapping[str, float]
    ) -> dict[str, float]:
        """The stages of one boot."""
        found = {
            name: seconds * factor.get(name, 1.0) * mood * rng.lognormvariate(0, self.spread[name])
            + slower.get(name, 0.0)
            for name, seconds in self.stages.items()
        }
        if rng.random() < self.outliers:
            found[rng.choice(list(found))] *= 1.5
        return {**found, READY: sum(found.values())}


_STAGES = ("firmware", "loader", "kernel", "initrd", "userspace")


def _noise(name: str, origin: str, seconds: Sequence[float], spread: Sequence[float], night: float) -> Noise:
    return Noise(
        name=name,
        origin=origin,
        stages=MappingProxyType(dict(zip(_STAGES, seconds, strict=True))),
        spread=MappingProxyType(dict(zip(_STAGES, spread, strict=True))),
        night=night,
    )


NOISES = {
    "quiet": _noise(
        "quiet",
        "assumed: a host that does nothing else; the stages' seconds are the least of `busy`, the spread not measured",
        (0.30, 6.19, 5.12, 5.04, 29.2),
        (0.02, 0.01, 0.01, 0.012, 0.012),
        0.008,
    ),
    "busy": _noise(
        "busy",
        "measured on 2026-11-29: 50 boots of Debian 13 by TCG (QEMU 7.2.22, SeaBIOS) on two cores that up to three "
        "other guests shared, slowness 13 to 52; the medians, and the robust standard deviations of the logarithms",
        (0.55, 14.25, 9.69, 11.38, 43.15),
        (0.24, 0.30, 0.31, 0.28, 0.34),
        0.05,
    ),
}


def measured(name: str, attempts: Sequence[Attempt]) -> Noise:
    """The noise of a real history: of the series with most nights, and of what all of a night have in common.

    Its spread has the nights' part in it, so that what is simulated by it differs rather more than what was measured.
    Raises ValueError where no series has enough nights.
    """
    series: dict[Series, list[Attempt]] = defaultdict(list)
    for each in attempts:
        if each.status is Status.PASS and not each.confirms and set(_STAGES) <= set(each.stages):
            series[each.series].append(each)
    longest = max(series.values(), key=len, default=[])
    if len(longest) < LEAST_NIGHTS:
        raise ValueError(f"no series of it has {LEAST_NIGHTS} nights with all of {', '.join(_STAGES)}")
    logs = {stage: spread([math.log(max(each.stages[stage], 0.001)) for each in longest]) for stage in _STAGES}
    usual = {key: spread([math.log(each.stages[READY]) for each in some]).median for key, some in series.items()}
    nights: dict[str, list[float]] = defaultdict(list)
    for key, some in series.items():
        for each in some:
            nights[each.night].append(math.log(each.stages[READY]) - usual[key])
    return _noise(
        name,
        f"measured: {len(longest)} nights of {longest[0].series}",
        [math.exp(logs[stage].median) for stage in _STAGES],
        [max(logs[stage].sigma, 0.001) for stage in _STAGES],
        spread([spread(some).median for some in nights.values()]).sigma,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What is worse from the last night on, in one cell's image."""

    name: str
    seconds: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Added to stages."""
    factor: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Stages that take so many times as long."""
    units: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    size: float = 1.0
    packages: Mapping[str, str] = field(default_factory=lambda: NO_WORDS)
    failed: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    expected: str = ""
    """The kind of finding, and what its cause must name."""
    names: str = ""


PLANTS = (
    Plant(name="userspace +2 s by a unit", seconds=MappingProxyType({"userspace": 2.0}),
          units=MappingProxyType({"slow-app.service": 2.0}), expected="time", names="slow-app.service"),
    Plant(name="image size +10 %", size=1.10, expected="size", names="rootfs grew by"),
    Plant(name="a new failed unit", failed=frozenset({"shop.service"}), expected="failed unit", names="shop.service"),
    Plant(name="a new package version", packages=MappingProxyType({"openssl": "3.0.16-1"}), expected="package",
          names="openssl 3.0.15-1 to 3.0.16-1"),
    Plant(name="a kernel warning", warnings=frozenset({"WARNING: CPU: N PID: N at kernel/rcu/tree.c:N"}),
          expected="warning", names="kernel/rcu/tree.c"),
    Plant(name="kernel stage +5 %", factor=MappingProxyType({"kernel": 1.05}), expected="time", names="stage kernel"),
    Plant(name="userspace stage +5 %", factor=MappingProxyType({"userspace": 1.05}), expected="time",
          names="stage userspace"),
    Plant(name="listens on another port", ports=frozenset({"tcp:2222"}), expected="port", names="tcp:2222"),
)  # fmt: skip
_NONE = Plant(name="nothing")


@dataclass(slots=True)
class World:
    """A fleet of one host, its images, and everything that was written down."""

    noise: Noise
    rng: random.Random
    cells: Sequence[Cell] = CELLS
    attempts: list[Attempt] = field(default_factory=list)
    images: dict[str, ImageFacts] = field(default_factory=dict)
    moods: dict[str, float] = field(default_factory=dict)
    boots: int = 0
    """Made to confirm something."""

    @classmethod
    def of(cls, noise: Noise, seed: int, cells: Sequence[Cell] = CELLS) -> World:
        """One in which nothing has happened yet."""
        return cls(noise=noise, rng=random.Random(seed), cells=cells)  # noqa: S311 - noise, and no secret

    def night(self, number: int, plant: Plant = _NONE, planted: Cell | None = None, *, confirming: bool = True) -> None:
        """One night, with its confirmations. Images are built anew every third night, with the day's packages."""
        began = (_FIRST + timedelta(days=number)).isoformat(timespec="seconds")
        self.moods[began] = self.rng.lognormvariate(0, self.noise.night)
        for cell in self.cells:
            worse = plant if cell.profile == (planted or CELLS[0]).profile and plant is not _NONE else _NONE
            sha256 = self._image(cell, number // 3, worse)
            self.attempts.append(self.boot(began, cell, sha256, worse, 1, ""))
        if confirming:
            self.attempts += confirm(self.attempts, self.facts, _InTurn(self, plant, planted))

    def facts(self, sha256: str) -> ImageFacts | None:
        return self.images.get(sha256)

    def findings(self, night: int | None = None) -> tuple[Finding, ...]:
        """What is said of one night, or of all."""
        began = "" if night is None else (_FIRST + timedelta(days=night)).isoformat(timespec="seconds")
        return tuple(each for each in judge(self.attempts, self.facts).findings if not began or each.night == began)

    def _image(self, cell: Cell, version: int, plant: Plant) -> str:
        sha256 = (run_id(cell.profile, version, plant.name) * 3)[:64]
        if sha256 not in self.images:
            packages = {"openssl": "3.0.15-1", "tzdata": f"2026{version}", **plant.packages}
            seen = Seen(
                failed=plant.failed,
                warnings=frozenset({"ACPI: error in table N"}) | plant.warnings,
                ports=plant.ports or frozenset({"tcp:22"}),
            )
            self.images[sha256] = ImageFacts(
                sha256=sha256,
                size_bytes=int(400 * _MIB * plant.size),
                rootfs_bytes=int((900 * _MIB + self.rng.randrange(_MIB)) * plant.size),
                kernel="6.12.48",
                packages=MappingProxyType(packages),
                seen=MappingProxyType({each.machine: seen for each in self.cells if each.profile == cell.profile}),
            )
        return sha256

    def boot(self, began: str, cell: Cell, sha256: str, plant: Plant, number: int, confirms: str) -> Attempt:
        """One boot of that night."""
        stages = self.noise.boot(self.rng, self.moods[began], plant.seconds, plant.factor)
        units = {name: share * stages["userspace"] for name, share in _UNITS.items()}
        return Attempt(
            run=run_id(began, cell, sha256, number, confirms),
            night=began,
            cell=cell,
            attempt=number,
            status=Status.PASS,
            sha256=sha256,
            started=began,
            stages=MappingProxyType(stages),
            units=MappingProxyType({**units, **plant.units}),
            host=Host(id="h", model="m x2", accelerator="tcg", qemu="7.2.22"),
            confirms=confirms,
            run_folder=f"build/runs/{cell.profile}/{cell.machine}/{number}",
        )


@dataclass(frozen=True, slots=True)
class _InTurn:
    """Both images in turn; only the planted one is worse, whatever was suspected."""

    world: World
    plant: Plant
    planted: Cell | None

    def missing(self, _pair: Pair) -> str:
        return ""

    def boot(self, pair: Pair, number: int, sha256: str) -> Attempt:
        attempt = pair.attempt
        worse = attempt.cell.profile == (self.planted or CELLS[0]).profile and sha256 == attempt.sha256
        self.world.boots += 1
        effect = self.plant if worse else _NONE
        return self.world.boot(attempt.night, attempt.cell, sha256, effect, number, attempt.run)

    def unconfirmed(self, pair: Pair, number: int, reason: str) -> Attempt:
        run = run_id(pair.attempt.run, number, reason)
        return replace(pair.attempt, run=run, confirms=pair.attempt.run, status=Status.SKIP, reason=reason)


def ordinary(
    noise: Noise, seed: int, *, cells: Sequence[Cell] = CELLS, nights: int = NIGHTS, confirming: bool = True
) -> World:
    """Nights in which nothing gets worse."""
    world = World.of(noise, seed, cells)
    for number in range(LEAST_NIGHTS + nights):
        world.night(number, confirming=confirming)
    return world


def planted(noise: Noise, seed: int, plant: Plant, *, cells: Sequence[Cell] = CELLS[:3]) -> tuple[Finding, ...]:
    """What is said in the one night in which something is worse, of the cells whose image it is in."""
    world = ordinary(noise, seed, cells=cells, nights=4)
    last = LEAST_NIGHTS + 4
    world.night(last, plant, cells[0])
    return world.findings(last)


def found(findings: Sequence[Finding], plant: Plant) -> bool:
    """Whether what was planted is told, with its cause."""
    return any(
        each.kind == plant.expected and plant.names in " ".join((each.what, *each.causes))
        and (each.alarms or plant.expected == "package")
        for each in findings
    )  # fmt: skip


def power(noise: Noise, stage: str, share: float, seeds: Sequence[int]) -> float:
    """In how many of so many worlds a stage that is slower by a share is told in its first night, on one machine."""
    plant = Plant(name=f"{stage} {share:+.0%}", factor=MappingProxyType({stage: 1 + share}), expected="time")
    return sum(found(planted(noise, seed, plant, cells=CELLS[:1]), plant) for seed in seeds) / len(seeds)
