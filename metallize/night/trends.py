"""One cell over the nights: since when it fails, what was another then, and when it last passed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from metallize.night.attempt import Attempt, Cell
from metallize.night.outcomes import CellNight, Outcome, cell_nights


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The nights of one cell, oldest first."""

    cell: Cell
    nights: tuple[CellNight, ...]

    @property
    def latest(self) -> CellNight:
        return self.nights[-1]

    @property
    def first_bad(self) -> CellNight | None:
        """The first of the bad nights that go on until the latest; None where that one is not bad."""
        found = None
        for night in reversed(self.nights):
            if night.outcome.bad:
                found = night
            elif night.outcome is Outcome.PASS:
                break
        return found if self.latest.outcome.bad else None

    @property
    def last_good(self) -> CellNight | None:
        return next((night for night in reversed(self.nights) if night.outcome is Outcome.PASS), None)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was another when it first failed than when it last passed; empty without a regression."""
        bad, good = self.first_bad, self.last_good
        if bad is None or good is None:
            return ()
        return changes_between(good.decisive, bad.decisive)


def changes_between(before: Attempt, after: Attempt) -> tuple[str, ...]:
    """What was another at one attempt than at one before it: versions, QEMU, host, image."""
    pairs = [(name, before.versions.get(name, ""), after.versions.get(name, ""))
             for name in dict.fromkeys([*before.versions, *after.versions])]  # fmt: skip
    pairs += [
        ("qemu", before.host.qemu, after.host.qemu),
        ("host", before.host.id, after.host.id),
        ("image", before.sha256[:12], after.sha256[:12]),
    ]
    return tuple(f"{name} {old} to {new}" for name, old, new in pairs if old and new and old != new)


def trends(attempts: Iterable[Attempt]) -> tuple[Trend, ...]:
    """By cell, in the order of their names.

    A night in which a profile did not come to a machine counts for each of the machines it was on before.
    """
    by_image: dict[tuple[str, str], list[CellNight]] = defaultdict(list)
    nights = cell_nights(attempts)
    outputs: dict[str, set[str]] = defaultdict(set)
    for night in nights:
        if night.cell.machine:
            outputs[night.cell.profile].add(night.cell.output)
    for night in nights:
        known = {night.cell.output} if night.cell.machine or night.cell.output else outputs[night.cell.profile]
        for output in known or {""}:
            by_image[night.cell.profile, output].append(night)
    found = []
    for (profile, output), some in sorted(by_image.items()):
        for machine in sorted({night.cell.machine for night in some} - {""}) or [""]:
            own = tuple(night for night in some if night.cell.machine in (machine, ""))
            found.append(Trend(cell=Cell(profile=profile, output=output, machine=machine), nights=own))
    return tuple(found)
