"""The whole matrix, night after night: every profile built and booted on each of its machines, and a history kept.

build/nightly/history.jsonl     one line for each profile, machine and night
build/report.html               the history on one page, written anew after each profile
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from metallize import __version__, images, pipeline, planning
from metallize.build.base import bases
from metallize.build.engines.engine import Engine
from metallize.build.plan import BuildPlan
from metallize.build.secrets.given import Given
from metallize.build.secrets.lending import unused
from metallize.catalog import Catalog
from metallize.errors import (
    EngineError,
    ExitCode,
    HostError,
    MetallizeError,
    ProfileError,
    UsageError,
    VerificationFailed,
)
from metallize.events import Events, Level, Note
from metallize.model.loaded import Profile
from metallize.model.report import BootReport
from metallize.report import history
from metallize.report.files import write_whole
from metallize.report.history import HistoryEntry, Outcome
from metallize.report.history_page import history_page

PAGE = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One profile of the matrix; reading it is put off, so that one that is wrong does not keep the others."""

    name: str
    load: Callable[[], Sequence[Profile]]
    """One for each image that it makes."""
    named: bool
    """Somebody asked for it: then it counts as broken, and not as skipped, where this host cannot build it."""


class _NotHereError(MetallizeError):
    """A profile needs a base, a machine or an emulator that this host has not."""


def history_path(build_dir: Path) -> Path:
    """The history of a build folder."""
    return build_dir / "nightly" / "history.jsonl"


def page_path(options: pipeline.Options) -> Path:
    """Where the history's page is."""
    return (options.build_dir or Path("build")) / PAGE


def run_nightly(
    candidates: Sequence[Candidate],
    catalog: Catalog,
    engine: Engine,
    events: Events,
    options: pipeline.Options,
    *,
    seen: Callable[[HistoryEntry, BootReport | None], None] = lambda _entry, _report: None,
) -> tuple[HistoryEntry, ...]:
    """Build and boot one profile after the other, whatever becomes of each; returns what was added to the history.

    `seen` is told of each entry as soon as it is written down.
    """
    build_dir = page_path(options).parent
    night = datetime.now(UTC).isoformat(timespec="seconds")
    added: list[HistoryEntry] = []
    idle = set(options.given or ())
    for candidate in candidates:
        for entry, report in _one(candidate, night, catalog, engine, events, options, idle):
            history.append(history_path(build_dir), entry)
            added.append(entry)
            events.emit(Note(text=_line(entry), level=Level.WARNING if entry.outcome.bad else Level.INFO))
            seen(entry, report)
        write_page(build_dir)
    for each in idle:
        events.emit(Note(text=f"--{each.kind} {each.word}: no layer that was built mounts it", level=Level.WARNING))
    return tuple(added)


def status_of(entries: Sequence[HistoryEntry]) -> ExitCode:
    """1 where an image failed, else 3 where one could not be made or nothing was verified at all."""
    outcomes = {entry.outcome for entry in entries}
    if Outcome.FAILED in outcomes:
        return ExitCode.FAILED_VERIFICATION
    if Outcome.BROKEN in outcomes or Outcome.PASSED not in outcomes:
        return ExitCode.MACHINERY
    return ExitCode.DONE


def write_page(build_dir: Path) -> Path:
    """The history of a build folder as a page. Raises UsageError where there is none yet."""
    found = history.read(history_path(build_dir))
    if not found.entries:
        raise UsageError(
            f"there is no history in {history_path(build_dir)}", hint="metallize nightly makes the first night of it"
        )
    page = build_dir / PAGE

    def link(entry: HistoryEntry) -> str | None:
        target = Path(entry.run_folder) / PAGE
        if not entry.run_folder or not target.is_file():
            return None
        return f"./{os.path.relpath(target.resolve(), build_dir.resolve())}"

    write_whole(page, history_page(found, link))
    return page


def _one(
    candidate: Candidate,
    night: str,
    catalog: Catalog,
    engine: Engine,
    events: Events,
    options: pipeline.Options,
    idle: set[Given],
) -> Iterator[tuple[HistoryEntry, BootReport | None]]:
    """One profile's entries: for each of its images one a machine, or one for what kept it from being booted.

    `idle` loses what one of its layers mounts.
    """
    try:
        profiles = candidate.load()
    except (ProfileError, UsageError) as exc:
        yield _nothing(night, candidate.name, Outcome.BROKEN, "profile", exc), None
        return
    for profile in profiles:
        name = f"{candidate.name}/{profile.output.file}" if profile.several else candidate.name
        try:
            plan = _prepared(profile, catalog, engine, events, options)
            if idle:
                idle.intersection_update(unused([plan], tuple(idle)))
            reports = _boot(plan, profile, catalog, engine, events, options)
        except _NotHereError as exc:
            outcome = Outcome.BROKEN if candidate.named else Outcome.SKIPPED
            yield _nothing(night, name, outcome, "build", exc), None
        except MetallizeError as exc:
            yield _nothing(night, name, Outcome.BROKEN, "build", exc), None
        else:
            for report in reports:
                versions = _versions(images.papers(profile, options, report.sha256))
                yield history.entry_of(report, night=night, profile=name, versions=versions), report


def _nothing(night: str, profile: str, outcome: Outcome, stage: str, exc: MetallizeError) -> HistoryEntry:
    """The entry of a profile that did not come to a machine."""
    cause = exc.message.strip().splitlines()[0] if exc.message.strip() else type(exc).__name__
    return HistoryEntry(
        night=night,
        profile=profile,
        machine="",
        outcome=outcome,
        stage=stage,
        cause=cause,
        date=_now(),
        versions={"metallize": __version__},
    )


def _prepared(
    profile: Profile, catalog: Catalog, engine: Engine, events: Events, options: pipeline.Options
) -> BuildPlan:
    """The plan, where this host has what it stands on. Raises _NotHereError where it has not."""
    try:
        plan = pipeline.prepare(profile, catalog, options, verified=True)
    except (HostError, UsageError) as exc:  # no emulator, or no machine that boots what it makes
        raise _NotHereError(exc.message, hint=exc.hint) from exc
    base = plan.rootfs.base
    if base is not None:
        engine.inspect(base.reference)  # an engine that does not answer is no reason to skip
        try:
            bases.resolve(engine, planning.base_of(base, catalog), events)
        except (EngineError, HostError) as exc:
            raise _NotHereError(f"no base {base.reference}: {exc.message}", hint=exc.hint) from exc
    return plan


def _boot(
    plan: BuildPlan, profile: Profile, catalog: Catalog, engine: Engine, events: Events, options: pipeline.Options
) -> Sequence[BootReport]:
    """Build, and boot in any case: a verdict of another night says nothing of this one's host and emulator."""
    try:
        again = replace(options, again=True)
        return pipeline.build(plan, profile, catalog, engine, events, again, verified=True).reports
    except VerificationFailed as exc:
        return [report for report in exc.reports if isinstance(report, BootReport)]


def _versions(papers: Mapping[str, object]) -> dict[str, str]:
    """What went into the image, and may explain that it boots otherwise than the one before."""
    system = papers.get("os")
    name = system.get("PRETTY_NAME") if isinstance(system, Mapping) else None
    found = {"metallize": __version__, "kernel": papers.get("kernel"), "os": name, "plan": papers.get("plan")}
    return {key: str(value)[:40] for key, value in found.items() if value}


def _line(entry: HistoryEntry) -> str:
    where = f"{entry.profile} on {entry.machine}" if entry.machine else entry.profile
    ready = f", ready after {entry.ready_seconds:.1f} s" if entry.ready_seconds is not None else ""
    cause = f": {entry.cause}" if entry.cause else ""
    return f"nightly: {where} {entry.outcome}{cause}{'' if entry.outcome.bad else ready}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
