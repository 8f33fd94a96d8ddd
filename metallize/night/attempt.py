"""One attempt at one cell of the matrix, as a value: what came of it, on which host, and how long each part took."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

NOTHING: Mapping[str, float] = MappingProxyType({})
NO_WORDS: Mapping[str, str] = MappingProxyType({})
READY = "ready"
"""Of `Attempt.stages`: the time from power-on until the system was ready, which is no stage but their sum."""
_ID_LENGTH = 24
"""Hexadecimal digits of a run's id: 96 bits, so that no two attempts of any fleet share one."""


class Status(StrEnum):
    """What came of one attempt, as KCIDB has it: FAIL alone is the image's."""

    PASS = "PASS"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    """The image did not do what its profile asks."""
    ERROR = "ERROR"
    """The test or the profile is at fault: there was nothing to boot."""
    MISS = "MISS"
    """The host or the harness is at fault: nothing was seen of the image."""
    SKIP = "SKIP"
    """This host cannot, and nobody asked for it by name."""

    @property
    def judges(self) -> bool:
        """Whether it says something of the image."""
        return self in (Status.PASS, Status.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One profile, one of its images, one machine: what a night tries."""

    profile: str
    output: str
    """The image's file; empty where the profile makes one image alone, or was never read."""
    machine: str
    """Empty where it did not come to a machine."""

    def __str__(self) -> str:
        return f"{self.name} on {self.machine}" if self.machine else self.name

    @property
    def name(self) -> str:
        """The profile, and its image where there are several."""
        return f"{self.profile}/{self.output}" if self.output else self.profile

    def on(self, machine: str) -> Cell:
        """The same image on another machine."""
        return Cell(profile=self.profile, output=self.output, machine=machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where it ran, and what of that bears on times."""

    id: str = ""
    """A name that no other host of the fleet has."""
    model: str = ""
    """The processor and the cores that may be used: hosts of one model count as alike."""
    accelerator: str = ""
    clock: str = ""
    """`instructions` where the guest's clock counted those (docs/machines.md): it boots slower by the host's clock, and
    its units quicker by its own; empty where it had the host's time."""
    slowness: float = 1.0
    """As measured: 1.0 is a host of normal speed."""
    qemu: str = ""
    load: float = 0.0
    """Processes that wanted to run, in the minute before (getloadavg(3))."""
    concurrency: int = 1
    """Cells at once."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Series:
    """What may be compared: times of another accelerator, processor or QEMU are a baseline of their own."""

    cell: Cell
    accelerator: str
    host_class: str

    def __str__(self) -> str:
        return f"{self.cell} ({', '.join(filter(None, (self.accelerator, self.host_class))) or 'host unknown'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the history."""

    run: str
    """Its id: by it two histories are merged, and an attempt that is written twice is one."""
    night: str
    """When the night began: ISO 8601, in UTC. The same for all that it tried."""
    cell: Cell
    attempt: int = 1
    """Counted from 1, of this cell in this night of this leader."""
    status: Status
    stage: str = ""
    """The last stage that was reached; `profile` or `build` where it did not come to a boot."""
    reason: str = ""
    """Why it did not pass, in a line."""
    signature: str = ""
    """The same for failures that are alike: the rule or the checks, and the reason without what changes each time."""
    started: str = ""
    sha256: str = ""
    """Of the image; empty where there was none."""
    stages: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Seconds in each stage, and `ready`."""
    units: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Seconds that each service took to start."""
    metrics: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """`seconds` from power-on to the verdict, `size` of the image and `rootfs_bytes`."""
    host: Host = field(default_factory=Host)
    versions: Mapping[str, str] = field(default_factory=lambda: NO_WORDS)
    """metallize, kernel, os, plan: what may explain that it went otherwise than the night before."""
    known_issue: str = ""
    """The reference of the known failure that this one is."""
    run_folder: str = ""
    confirms: str = ""
    """The run that this boot was made for, to confirm or clear that it was slower; it counts for nothing else."""
    cut: int = 0
    """Of a line that looks for the layer at fault: so much of its image is undone (night.bisecting.chain); else 0."""
    layer: str = ""
    """What is at fault, in words, on the line that ends the search for it."""
    led_by: str = ""
    """The host whose night it is, where that is not the one that booted; empty where it is."""

    @property
    def series(self) -> Series:
        """What its times may be compared with."""
        host_class = ", ".join(filter(None, (self.host.model, f"QEMU {self.host.qemu}" if self.host.qemu else "")))
        accelerator = " by ".join(filter(None, (self.host.accelerator, self.host.clock)))
        return Series(cell=self.cell, accelerator=accelerator, host_class=host_class)

    @property
    def leader(self) -> str:
        """The host whose night it is: attempts of one night may have been made on several."""
        return self.led_by or self.host.id

    @property
    def ready_seconds(self) -> float | None:
        return self.stages.get(READY)

    @property
    def bad(self) -> bool:
        """Whether somebody has to see to it."""
        return self.status in (Status.FAIL, Status.ERROR, Status.MISS)


def time_of(night: str) -> datetime | None:
    """When a night began, by its name; None where that is no time with its zone."""
    try:
        found = datetime.fromisoformat(night)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def run_id(*parts: object) -> str:
    """The id of an attempt: of what tells it from every other, so that the same attempt has the same id anywhere."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:_ID_LENGTH]
