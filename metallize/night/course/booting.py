"""The boots of a night: cells side by side as far as the host has room, the longest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from metallize import images
from metallize.build.store import Stored
from metallize.errors import BugError, HostError, MetallizeError
from metallize.events import Level, Note
from metallize.host import accelerator
from metallize.host.turns import Need
from metallize.model.report import BootReport
from metallize.night.attempt import Status
from metallize.night.course.building import stored_of
from metallize.night.course.means import Means, OfCell, fault_of
from metallize.night.facts import facts_folder, write_facts
from metallize.night.gather import attempt_of_report
from metallize.night.matrix.value import Entry, Matrix
from metallize.night.outcomes import again
from metallize.verify.beside import side_by_side

Boot = Callable[[], BootReport | MetallizeError]


def boot_all(matrix: Matrix, stored: Mapping[str, Stored], means: Means) -> None:
    """Boot every cell whose image there is, and again where its attempts so far ask for that."""
    cells = [
        each
        for each in matrix.longest_first()
        if each.build.name in stored and (not means.of(each.cell) or again(means.of(each.cell)))
    ]
    for request in {each.request.machine.name: each.request for each in cells}.values():
        with suppress(HostError):  # a boot says so, too
            accelerator.choose(request.machine, request.accel)  # before its cores are busy with guests
    boots = _Boots(means=means, stored=stored, begun=[])
    side_by_side([boots.begin(each) for each in cells], ended=boots.ended)


@dataclass(slots=True, kw_only=True)
class _Boots:
    means: Means
    stored: Mapping[str, Stored]
    begun: list[Entry]
    """By their number; a cell that is booted again is there again."""

    def begin(self, entry: Entry) -> tuple[Need, Boot]:
        """What a boot of a cell takes, and the boot."""
        self.begun.append(entry)
        need = Need(what=str(entry.cell), cpus=entry.cpus, memory_bytes=entry.memory_bytes)
        return need, partial(_boot, entry, self.stored[entry.build.name], self.means)

    def ended(self, number: int, result: BootReport | MetallizeError) -> Sequence[tuple[Need, Boot]]:
        """Write down what came of it; what is to be booted for that."""
        entry = self.begun[number]
        if isinstance(result, MetallizeError):
            self.means.nothing(entry.cell, fault_of(result), "build", result)
        else:
            self._judged(entry, result)
        why = again(self.means.of(entry.cell))
        if not why:
            return ()
        self.means.events.emit(Note(text=f"nightly: {entry.cell} is booted again, {why}"))
        return (self.begin(entry),)

    def _judged(self, entry: Entry, report: BootReport) -> None:
        before = self.means.of(entry.cell)
        stored = self.stored[entry.build.name]
        if all(each.status is not Status.FAIL for each in before):
            self._settle(entry, report, stored)  # else it is for diagnosis, and changes no record
        attempt, facts = attempt_of_report(self.means.night, entry.cell, len(before) + 1, report, stored.manifest)
        write_facts(facts_folder(self.means.build_dir), facts)
        self.means.add(attempt, report)

    def _settle(self, entry: Entry, report: BootReport, stored: Stored) -> None:
        """Have the image's record know what was seen, and the image in its place once it has passed everywhere."""
        means = self.means
        options = replace(means.options, machines=(entry.cell.machine,))
        profile = entry.build.profile
        why = "somebody has built it anew meanwhile"
        try:
            if images.settle(profile, means.catalog, means.events, options, stored, report):
                return
        except MetallizeError as exc:
            why = exc.message
        text = f"{entry.cell}: what was seen of {profile.output.file} is not in its record: {why}"
        means.events.emit(Note(text=text, level=Level.WARNING))


def _boot(entry: Entry, stored: Stored, means: Means) -> BootReport | MetallizeError:
    """One boot, in a thread of its own: whatever goes wrong with it ends no other."""
    options = replace(means.options, machines=(entry.cell.machine,))
    try:
        there = stored if stored.path.exists() else stored_of(entry.build, means, stored.sha256)
        events = OfCell(means.events, entry.cell)
        return images.boot_stored(entry.build.profile, means.catalog, events, options, there or stored)
    except MetallizeError as exc:
        return exc
    except Exception as exc:  # noqa: BLE001 - a bug that one cell meets is told as one, and the others go on
        return BugError(f"booting {entry.cell}", exc)
