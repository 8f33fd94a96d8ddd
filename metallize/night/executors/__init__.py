"""Who boots the cells of a night: each module here is a kind, with `SCHEMES` and `open_executor(place, keys, shared)`.

To add one is to add a file. Whichever boots them, verdicts, evidence and the lines of the history are the same.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metallize import pipeline
from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import MetallizeError, UsageError
from metallize.events import Events
from metallize.host.turns import Need
from metallize.model.loaded import Profile
from metallize.model.report import BootReport
from metallize.night.attempt import Cell, Host
from metallize.night.matrix.value import Entry
from metallize.verify import VerifyRequest

DEFAULT = "processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every boot of a night is made with."""

    catalog: Catalog
    events: Events
    options: pipeline.Options

    @property
    def build_dir(self) -> Path:
        return self.options.build_dir or Path("build")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One boot that is to be made."""

    cell: Cell
    profile: Profile
    request: VerifyRequest
    """What is asked; of the image's place it says nothing."""
    image: Callable[[], Stored]
    """The image, wherever on the night's host it is by then."""
    sha256: str
    need: Need
    run: str
    """The id of the attempt: nothing is booted for it twice that was written down."""
    seconds: float | None = None
    """How long it takes by experience; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A boot that was made, judged."""

    report: BootReport
    host: Host | None = None
    """Where; None: on the night's own host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A boot that was not made, or of which nothing is known."""

    error: MetallizeError
    host: Host | None = None


Ended = Callable[[int, Booted | Missed], Sequence[Work]]
"""Told the number of each work that has ended; what it gives back is done behind the others, and numbered on."""


class Session(Protocol):
    """An executor while a night goes on."""

    @property
    def cores(self) -> int:
        """How many may be busy with guests at a time."""
        ...

    def lacks(self, entry: Entry) -> str:
        """Why nobody here can ever boot a cell; empty where somebody can."""
        ...

    def boot_all(self, works: Sequence[Work], ended: Ended) -> None:
        """Boot all, in this order as far as there is room; one that goes wrong ends no other."""
        ...

    def missing(self, host: Host) -> str:
        """Why nothing can be booted on a host now, as images in turn have to be; empty where it can."""
        ...

    def stand_in(self, host: Host) -> Host | None:
        """Another host that is there now and of the same class: the same processor, cores and accelerator."""
        ...

    def boot(self, work: Work, host: Host) -> Booted:
        """Boot on that host and no other. Raises MetallizeError."""
        ...


class Executor(Protocol):
    """Who boots."""

    @property
    def here(self) -> bool:
        """Whether cells are booted on this host, which then needs an emulator."""
        ...

    def session(self, ground: Ground) -> AbstractContextManager[Session]:
        """Be ready to boot. Raises MetallizeError where it cannot be reached, or may not be."""
        ...


Open = Callable[[str, Path | None, Path | None], Executor]


def executor_at(text: str, keys: Path | None, shared: Path | None = None) -> Executor:
    """The executor that `--executor` means: a name, or SCHEME://PLACE of one of the modules here.

    `shared` is a folder that its hosts see, in which images and evidence are to travel.

    Raises UsageError for one that there is not, and for a place that its module does not understand.
    """
    kinds = _kinds()
    scheme, _, place = text.partition("://")
    if scheme not in kinds:
        hint = did_you_mean(scheme, sorted(kinds)) or f"there is {', '.join(sorted(kinds))}"
        raise UsageError(f"--executor {text}: there is no such executor", hint=hint)
    return kinds[scheme](place, keys, shared)


def _kinds() -> Mapping[str, Open]:
    kinds: dict[str, Open] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        kinds.update(dict.fromkeys(module.SCHEMES, module.open_executor))
    return kinds
