"""What a judge of the nights has to say: what got worse, since when, by how much and why, each as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from metallize.night.attempt import Cell


class Kind(StrEnum):
    """What is otherwise."""

    STATUS = "status"
    """It passed, and fails or is flaky."""
    CONFLICT = "host conflict"
    """The same bytes fail on one host and pass on another: that is not the image's."""
    UNIT = "failed unit"
    PORT = "port"
    SIZE = "size"
    TIME = "time"
    WARNING = "warning"
    PACKAGE = "package"


class Verdict(StrEnum):
    """What is made of it."""

    WORSE = "worse"
    """Seen, and of a time confirmed by boots of both images in turn."""
    CHANGED = "changed"
    """Another than before, which is neither good nor bad."""
    SUSPECT = "suspected"
    """A time is longer than it was, and nobody has confirmed or cleared it."""
    CLEARED = "noise, cleared"
    """A time was longer, and both images took as long when they were booted in turn."""
    YOUNG = "too young to judge"
    """There are fewer nights of this series than it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is otherwise in one night than in those before."""

    kind: Kind
    verdict: Verdict
    night: str
    cell: Cell
    run: str
    """The attempt that showed it."""
    what: str
    """In a sentence: with both values, and by how much."""
    subject: str
    """What it is about: a package, a unit, a port, a stage, a signature; the same when it is found again."""
    since: str
    """What it is compared with: `the night of 2026-01-02`, `the release 20260101.1`."""
    causes: tuple[str, ...] = ()
    """What explains it, the likeliest first."""
    evidence: tuple[str, ...] = ()
    """Where to look: run folders."""
    next_step: str = ""
    known_issue: str = ""
    also: tuple[str, ...] = ()
    """Other machines on which the same was found of the same image in the same night."""

    @property
    def place(self) -> str:
        """Where it was found."""
        return ", ".join((str(self.cell), *self.also))

    @property
    def alarms(self) -> bool:
        """Whether somebody has to see to it."""
        return self.verdict is Verdict.WORSE

    @property
    def key(self) -> tuple[str, Cell, str]:
        """What it has in common with itself in another night."""
        return (self.kind, self.cell, self.subject)


def grouped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The same of the same image in the same night on several machines as one, in their order."""
    found: dict[tuple[str, ...], Finding] = {}
    for each in findings:
        cell = each.cell
        key = (each.night, each.kind, each.verdict, cell.profile, cell.output, each.subject, each.what, each.since)
        first = found.get(key)
        found[key] = each if first is None else replace(first, also=(*first.also, cell.machine or cell.name))
    return tuple(found.values())


def lines_of(finding: Finding) -> tuple[str, ...]:
    """Five lines that a person can act on: what, since when, why, evidence, and what to do."""
    causes = finding.causes or ("not known: nothing that the history keeps is another",)
    more = f", and {len(causes) - _CAUSES} more" if len(causes) > _CAUSES else ""
    known = f" (known: {finding.known_issue})" if finding.known_issue else ""
    return (
        f"{finding.verdict.upper()}  {finding.place}: {finding.what}{known}",
        f"  since     the night of {day(finding.night)}, compared with {finding.since}",
        f"  because   {'; '.join(causes[:_CAUSES])}{more}",
        f"  evidence  {' '.join(finding.evidence) or 'no run folder is left'}",
        f"  next      {finding.next_step}",
    )


_CAUSES = 4
"""So many are named on the line."""


def day(night: str) -> str:
    """When a night began, to the minute."""
    return night[:16].replace("T", " ")
