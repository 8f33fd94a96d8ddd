"""The nightlies' history: a line of JSON for each profile, machine and night, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from metallize.model.report import BootReport, Severity, Stage


class Outcome(StrEnum):
    """How a profile did on a machine in one night."""

    PASSED = "passed"
    FAILED = "failed"
    """The image did not pass its verification."""
    BROKEN = "broken"
    """There was nothing to boot: the profile, the build or the host was at fault."""
    SKIPPED = "skipped"
    """This host cannot build it, and nobody asked for it by name."""

    @property
    def bad(self) -> bool:
        return self in (Outcome.FAILED, Outcome.BROKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """What one night showed of one profile on one machine."""

    night: str
    """When the nightly began: ISO 8601, in UTC. The same for all that it verified."""
    profile: str
    machine: str
    """Empty where it did not come to a machine."""
    outcome: Outcome
    stage: str = ""
    """The stage of the boot that was reached; `profile` or `build` where it did not come to a boot."""
    cause: str = ""
    date: str = ""
    """When this boot began."""
    sha256: str = ""
    seconds: float = 0.0
    """From power-on to the verdict."""
    ready_seconds: float | None = None
    slowness: float = 1.0
    """Of the host, as measured: 1.0 is a host of normal speed."""
    run_folder: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    """metallize, qemu, kernel: what may explain that it went otherwise than the night before."""

    @property
    def normal_ready_seconds(self) -> float | None:
        """The time until ready as it would be on a host of normal speed."""
        return None if self.ready_seconds is None else self.ready_seconds / max(self.slowness, 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The entries in the order of the file, and how many lines of it could not be read."""

    entries: tuple[HistoryEntry, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One profile on one machine over the nights, oldest first."""

    profile: str
    machine: str
    entries: tuple[HistoryEntry, ...]

    @property
    def latest(self) -> HistoryEntry:
        return self.entries[-1]

    @property
    def first_bad(self) -> HistoryEntry | None:
        """The first of the failures that go on until the latest night; None where that one is not bad."""
        found = None
        for entry in reversed(self.entries):
            if entry.outcome.bad:
                found = entry
            elif entry.outcome is Outcome.PASSED:
                break
        return found if self.latest.outcome.bad else None

    @property
    def last_good(self) -> HistoryEntry | None:
        return next((entry for entry in reversed(self.entries) if entry.outcome is Outcome.PASSED), None)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was another when it first failed than when it last passed; empty without a regression."""
        bad, good = self.first_bad, self.last_good
        if bad is None or good is None:
            return ()
        names = dict.fromkeys([*good.versions, *bad.versions])
        pairs = [(name, good.versions.get(name, ""), bad.versions.get(name, "")) for name in names]
        pairs.append(("image", good.sha256[:12], bad.sha256[:12]))
        return tuple(f"{name} {old} to {new}" for name, old, new in pairs if old and new and old != new)


def entry_of(report: BootReport, *, night: str, profile: str, versions: Mapping[str, str]) -> HistoryEntry:
    """A boot's report as a line of the history."""
    ready = next((item.seconds for item in report.stages if item.stage is Stage.READY), None)
    return HistoryEntry(
        night=night,
        profile=profile,
        machine=report.machine,
        outcome=Outcome.PASSED if report.passed else Outcome.FAILED,
        stage=report.stage,
        cause="" if report.passed else cause_of(report),
        date=report.started,
        sha256=report.sha256,
        seconds=report.seconds,
        ready_seconds=ready,
        slowness=report.accelerator.slowness,
        run_folder=str(report.run_folder),
        versions={**versions, "qemu": report.qemu},
    )


def cause_of(report: BootReport) -> str:
    """Why a boot failed, in one line."""
    if report.failure is not None:
        return report.failure.cause
    fault = next((finding for finding in report.findings if finding.severity is Severity.FAULT), None)
    if fault is not None:
        return fault.cause
    for result in report.failed_results:
        wrong = next((claim for claim in result.claims if not claim.holds), None)
        detail = f": {wrong.attribute}: expected {wrong.expected}, found {wrong.actual}" if wrong else ""
        more = len(report.failed_results) - 1
        return f"{result.title}{detail}" + (f", and {more} more" if more else "")
    return f"the boot got as far as stage {report.stage}"


def append(path: Path, entry: HistoryEntry) -> None:
    """Add a line in one write, so that nightlies beside each other do not mix theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), sort_keys=True) + "\n"
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(number).st_size
        cut_short = size > 0 and os.pread(number, 1, size - 1) != b"\n"  # a nightly was killed while it wrote
        os.write(number, (("\n" if cut_short else "") + line).encode())
    finally:
        os.close(number)


def read(path: Path) -> History:
    """The whole history; a line that is no entry is counted and left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return History()
    entries = [_entry(line) for line in lines if line.strip()]
    return History(entries=tuple(entry for entry in entries if entry is not None), unreadable=entries.count(None))


def trends(entries: Sequence[HistoryEntry]) -> tuple[Trend, ...]:
    """By profile and machine, in the order of their names.

    A night in which a profile did not come to a machine counts for each of the machines it was on before.
    """
    machines: dict[str, dict[str, None]] = {}
    for entry in entries:
        known = machines.setdefault(entry.profile, {})
        if entry.machine:
            known[entry.machine] = None
    return tuple(
        Trend(
            profile=profile,
            machine=machine,
            entries=tuple(each for each in entries if each.profile == profile and each.machine in (machine, "")),
        )
        for profile in sorted(machines)
        for machine in sorted(machines[profile]) or [""]
    )


def _entry(line: str) -> HistoryEntry | None:
    try:
        data = json.loads(line)
        ready = data.get("ready_seconds")
        return HistoryEntry(
            night=str(data["night"]),
            profile=str(data["profile"]),
            machine=str(data["machine"]),
            outcome=Outcome(data["outcome"]),
            **{name: str(data.get(name, "")) for name in ("stage", "cause", "date", "sha256", "run_folder")},
            seconds=float(data.get("seconds", 0)),
            ready_seconds=None if ready is None else float(ready),
            slowness=float(data.get("slowness", 1)),
            versions={str(name): str(version) for name, version in dict(data.get("versions", {})).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
