"""The matrix of a night: builds, each once, and cells that wait for one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from metallize.build.plan import BuildPlan
from metallize.build.step import digest_of
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import MetallizeError, UsageError
from metallize.model.loaded import Profile
from metallize.night.attempt import Attempt, Cell, Status
from metallize.verify import VerifyRequest

_NIGHTS = 5
"""So many of the latest boots say how long a cell takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One image to be made, of one output of a profile."""

    cell: Cell
    """With no machine: the profile, and the output where it makes several."""
    plan: BuildPlan = field(repr=False)
    profile: Profile = field(repr=False)

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def key(self) -> str:
        """What the image is made of: the plan's id."""
        return self.plan.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cell, and what it waits for and needs."""

    cell: Cell
    build: Build = field(repr=False)
    request: VerifyRequest = field(repr=False)
    """Of an image that is not there yet."""
    asked: str
    """Digest of what is asked of the image on this machine."""
    cpus: int
    memory_bytes: int
    tags: tuple[str, ...]
    seconds: float | None = None
    """How long its boots took in the nights before; None where it never was booted."""

    @property
    def key(self) -> str:
        """Changes with the image's plan and with what is asked of it here."""
        return digest_of(self.build.key, self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A profile, or one of its images, that does not come to a cell."""

    cell: Cell
    status: Status
    stage: str
    error: MetallizeError = field(repr=False)

    @property
    def is_wrong(self) -> bool:
        """Whether the profile is at fault, and no host."""
        return self.status is Status.ERROR

    @property
    def reason(self) -> str:
        """In a line."""
        text = self.error.message.strip()
        return text.splitlines()[0] if text else type(self.error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Everything that a night tries."""

    entries: tuple[Entry, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def builds(self) -> tuple[Build, ...]:
        """Those that a cell waits for, each once, in the cells' order."""
        return tuple({each.build.name: each.build for each in self.entries}.values())

    @property
    def key(self) -> str:
        """The same where the same is tried."""
        cells = sorted(f"{each.cell} {each.key}" for each in self.entries)
        return digest_of("matrix 1", *cells, *sorted(f"{each.cell} {each.reason}" for each in self.faults))

    def of(self, build: Build) -> tuple[Entry, ...]:
        """The cells that wait for a build."""
        return tuple(each for each in self.entries if each.build.name == build.name)

    def longest_first(self) -> tuple[Entry, ...]:
        """The cells in the order in which they are best begun: what is not known may take long (Graham, 1969)."""
        return tuple(sorted(self.entries, key=lambda each: -(each.seconds if each.seconds is not None else 1e9)))

    def tagged(self, tags: Iterable[str]) -> Matrix:
        """The cells that have all of the tags. Raises UsageError for one that no cell has."""
        wanted = frozenset(tags)
        known = {tag for each in self.entries for tag in each.tags}
        for tag in sorted(wanted - known):
            hint = did_you_mean(tag, sorted(known)) or f"there are {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"--tag {tag}: no cell has it", hint=hint)
        return replace(self, entries=tuple(each for each in self.entries if wanted <= {*each.tags})) if wanted else self

    def timed(self, attempts: Iterable[Attempt]) -> Matrix:
        """With how long each cell took in the latest nights, at the median."""
        known: dict[Cell, list[float]] = {}
        for each in attempts:
            if each.status.judges and not each.confirms and each.metrics.get("seconds"):
                known.setdefault(each.cell, []).append(each.metrics["seconds"])
        return replace(
            self,
            entries=tuple(
                replace(each, seconds=_median(known[each.cell][-_NIGHTS:])) if each.cell in known else each
                for each in self.entries
            ),
        )


def shown_path(path: Path) -> str:
    """A profile's path as a command line takes it from the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
