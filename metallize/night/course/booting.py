"""The boots of a night: cells side by side as far as there is room, the longest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from metallize import images
from metallize.build.store import Stored
from metallize.errors import HostError, MetallizeError
from metallize.events import Level, Note
from metallize.host.turns import Need
from metallize.model.report import BootReport
from metallize.night.attempt import Host, Status
from metallize.night.course.building import stored_of
from metallize.night.course.means import Means, fault_of
from metallize.night.executors import Booted, Missed, Session, Work
from metallize.night.facts import facts_folder, write_facts
from metallize.night.gather import attempt_of_report
from metallize.night.matrix.value import Entry, Matrix
from metallize.night.outcomes import again


def able(matrix: Matrix, named: frozenset[str], means: Means, session: Session) -> Matrix:
    """The cells that somebody can boot; of each other an attempt says why nobody can."""
    entries = []
    for entry in matrix.entries:
        before = means.of(entry.cell)
        why = "" if before and not again(before) else session.lacks(entry)
        if why:
            status = Status.MISS if entry.cell.profile in named else Status.SKIP
            means.nothing(entry.cell, status, "build", HostError(why))
        else:
            entries.append(entry)
    return replace(matrix, entries=tuple(entries))


def boot_all(matrix: Matrix, stored: Mapping[str, Stored], means: Means, session: Session) -> None:
    """Boot every cell whose image there is, and again where its attempts so far ask for that."""
    cells = [
        each
        for each in matrix.longest_first()
        if each.build.name in stored and (not means.of(each.cell) or again(means.of(each.cell)))
    ]
    boots = _Boots(means=means, stored=stored, begun=[])
    session.boot_all([boots.begin(each) for each in cells], boots.ended)


@dataclass(slots=True, kw_only=True)
class _Boots:
    means: Means
    stored: Mapping[str, Stored]
    begun: list[Entry]
    """By their number; a cell that is booted again is there again."""

    def begin(self, entry: Entry) -> Work:
        """The boot of a cell, and what it takes."""
        self.begun.append(entry)
        return Work(
            cell=entry.cell,
            profile=entry.build.profile,
            request=entry.request,
            image=partial(self._image, entry),
            sha256=self.stored[entry.build.name].sha256,
            need=Need(what=str(entry.cell), cpus=entry.cpus, memory_bytes=entry.memory_bytes),
            run=self.means.night.run_of(entry.cell, len(self.means.of(entry.cell)) + 1),
            seconds=entry.seconds,
        )

    def _image(self, entry: Entry) -> Stored:
        stored = self.stored[entry.build.name]
        there = stored if stored.path.exists() else stored_of(entry.build, self.means, stored.sha256)
        return there or stored

    def ended(self, number: int, result: Booted | Missed) -> Sequence[Work]:
        """Write down what came of it; what is to be booted for that."""
        entry = self.begun[number]
        if isinstance(result, Missed):
            self.means.nothing(entry.cell, fault_of(result.error), "build", result.error, result.host)
        else:
            self._judged(entry, result.report, result.host)
        why = again(self.means.of(entry.cell))
        if not why:
            return ()
        self.means.events.emit(Note(text=f"nightly: {entry.cell} is booted again, {why}"))
        return (self.begin(entry),)

    def _judged(self, entry: Entry, report: BootReport, host: Host | None) -> None:
        before = self.means.of(entry.cell)
        stored = self.stored[entry.build.name]
        if all(each.status is not Status.FAIL for each in before):
            self._settle(entry, report, stored)  # else it is for diagnosis, and changes no record
        attempt, facts = attempt_of_report(
            self.means.night, entry.cell, len(before) + 1, report, stored.manifest, host=host
        )
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
