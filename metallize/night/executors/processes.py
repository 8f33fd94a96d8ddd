"""processes: the cells boot on this host, side by side as far as it has room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from metallize import images
from metallize.errors import BugError, HostError, MetallizeError, UsageError
from metallize.host import accelerator
from metallize.host.share import usable_cores
from metallize.host.turns import Need
from metallize.night.attempt import Host
from metallize.night.course.events import OfCell
from metallize.night.executors import Booted, Ended, Ground, Missed, Work
from metallize.night.matrix.value import Entry
from metallize.verify.beside import side_by_side

SCHEMES = ("processes",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The night's own host."""

    here: bool = True

    @contextmanager
    def session(self, ground: Ground) -> Iterator[OnThisHost]:
        """It is always ready."""
        yield OnThisHost(ground=ground)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnThisHost:
    """The night's own host while a night goes on."""

    ground: Ground

    @property
    def cores(self) -> int:
        """Those of this host that this process may use."""
        return usable_cores()

    def lacks(self, _entry: Entry) -> str:
        """What has no emulator here is no cell at all: metallize.night.matrix.making says so."""
        return ""

    def boot_all(self, works: Sequence[Work], ended: Ended) -> None:
        """Boot all, side by side as far as there is room."""
        for machine in {each.request.machine.name: each.request.machine for each in works}.values():
            with suppress(HostError):  # a boot says so, too
                accelerator.choose(machine, self.ground.options.accel)  # before its cores are busy with guests

        def over(number: int, result: Booted | Missed) -> Sequence[tuple[Need, Callable[[], Booted | Missed]]]:
            return [self._begun(each) for each in ended(number, result)]

        side_by_side([self._begun(each) for each in works], ended=over)

    def missing(self, _host: Host) -> str:
        """It is this one, or was."""
        return ""

    def stand_in(self, _host: Host) -> None:
        """There is no other."""

    def boot(self, work: Work, _host: Host) -> Booted:
        """Raises MetallizeError."""
        options = replace(self.ground.options, machines=(work.cell.machine,))
        ground, clock = self.ground, work.request.clock
        report = images.boot_stored(work.profile, ground.catalog, ground.events, options, work.image(), clock)
        return Booted(report=report)

    def _begun(self, work: Work) -> tuple[Need, Callable[[], Booted | Missed]]:
        return work.need, partial(self._boot, work)

    def _boot(self, work: Work) -> Booted | Missed:
        """One boot, in a thread of its own: whatever goes wrong with it ends no other."""
        ground = self.ground
        options = replace(ground.options, machines=(work.cell.machine,))
        try:
            events = OfCell(ground.events, work.cell)
            return Booted(report=images.boot_stored(work.profile, ground.catalog, events, options, work.image()))
        except MetallizeError as exc:
            return Missed(error=exc)
        except Exception as exc:  # noqa: BLE001 - a bug that one cell meets is told as one, and the others go on
            return Missed(error=BugError(f"booting {work.cell}", exc))


def open_executor(place: str, keys: Path | None, shared: Path | None) -> Processes:
    """Raises UsageError where it is given what it does not take."""
    if place:
        raise UsageError(f"--executor processes://{place}: it is this host and takes no place", hint="leave it out")
    for word, given in (("--keys", keys), ("--shared", shared)):
        if given is not None:
            raise UsageError(f"{word} goes with an executor on other hosts", hint="leave it out")
    return Processes()
