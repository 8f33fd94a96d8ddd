"""`metallize nightly`: every profile built and booted on each of its machines, one after the other, and written down.

build/nightly/history.jsonl     one line for each attempt
build/nightly/images/           what is known of each image
build/report.html               the history on one page, written anew after each profile
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from metallize import images, pipeline, planning
from metallize.build.base import bases
from metallize.build.engines.engine import Engine
from metallize.build.plan import BuildPlan
from metallize.build.secrets.given import Given
from metallize.build.secrets.lending import unused
from metallize.catalog import Catalog
from metallize.errors import (
    BugError,
    CommandError,
    EngineError,
    ExitCode,
    HostError,
    LayerError,
    MetallizeError,
    ProfileError,
    UsageError,
    VerificationFailed,
)
from metallize.events import Events, Level, Note
from metallize.model.loaded import Profile
from metallize.model.report import BootReport
from metallize.night import history, index, keeping
from metallize.night.attempt import Attempt, Cell, Status
from metallize.night.confirming import Budget, confirm
from metallize.night.facts import facts_folder, read_facts, write_facts
from metallize.night.gather import Night, attempt_of_report, this_host
from metallize.night.history import history_path
from metallize.night.in_turn import OnThisHost
from metallize.night.judged import judged
from metallize.night.keeping import kept_folder
from metallize.night.known import Known, with_known
from metallize.night.outcomes import Outcome, again, cell_nights
from metallize.night.pages.site import write_site

Seen = Callable[[Attempt, BootReport | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One profile of the matrix; reading it is put off, so that one that is wrong does not keep the others."""

    name: str
    load: Callable[[], Sequence[Profile]]
    """One for each image that it makes."""
    named: bool
    """Somebody asked for it: then it counts, and is not skipped, where this host cannot build it."""
    known: tuple[Known, ...] = ()
    """The failures that are known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every build of a night is made with."""

    catalog: Catalog
    engine: Engine
    events: Events
    options: pipeline.Options
    night: Night
    idle: set[Given]
    """What is lent to layers and was mounted by none so far."""
    profiles: dict[str, Profile] = field(default_factory=dict)
    """Those that were read, by the names of their cells."""

    @property
    def build_dir(self) -> Path:
        return self.options.build_dir or Path("build")


class _NotHereError(MetallizeError):
    """A profile needs a base, a machine or an emulator that this host has not."""


def run_nightly(
    candidates: Sequence[Candidate],
    catalog: Catalog,
    engine: Engine,
    events: Events,
    options: pipeline.Options,
    *,
    seen: Seen = lambda _attempt, _report: None,
    budget: Budget | None = None,
) -> tuple[Attempt, ...]:
    """Build and boot one profile after the other, whatever becomes of each; returns what was added to the history.

    Then the images of which a time is suspected are booted in turn with those before them, within the budget. `seen` is
    told of each attempt as soon as it is written down.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    means = Means(
        catalog=catalog,
        engine=engine,
        events=events,
        options=options,
        night=Night(began=began, host=this_host(), folder=str((options.build_dir or Path("build")).resolve())),
        idle=set(options.given or ()),
    )
    added: list[Attempt] = []

    def add(attempt: Attempt, report: BootReport | None) -> None:
        history.append(history_path(means.build_dir), [attempt])
        added.append(attempt)
        events.emit(Note(text=_line(attempt), level=Level.WARNING if attempt.bad else Level.INFO))
        seen(attempt, report)

    for candidate in candidates:
        for made, report in _tried(candidate, means):
            add(with_known(made, candidate.known, datetime.now(UTC).date()), report)
        write_site(means.build_dir)
    for boot in _confirming(means, budget or Budget()):
        add(boot, None)
    _let_go(means)
    write_site(means.build_dir)
    for each in means.idle:
        events.emit(Note(text=f"--{each.kind} {each.word}: no layer that was built mounts it", level=Level.WARNING))
    return tuple(added)


def _confirming(means: Means, budget: Budget) -> Iterator[Attempt]:
    """The boots that confirm or clear what is suspected in this night."""
    with index.opened(means.build_dir) as opened:
        attempts = opened.history().attempts
    in_turn = OnThisHost(
        catalog=means.catalog,
        events=means.events,
        options=means.options,
        night=means.night,
        folder=kept_folder(means.build_dir),
        profiles=means.profiles,
    )
    facts = partial(read_facts, facts_folder(means.build_dir))
    yield from confirm(attempts, facts, in_turn, budget=budget, mine=means.night.has)


def _let_go(means: Means) -> None:
    """Keep the images that a later night is compared with, and no other."""
    _, judgement = judged(means.build_dir)
    for sha256 in keeping.release(kept_folder(means.build_dir), judgement.compared):
        means.events.emit(Note(text=f"nightly: the image {sha256[:12]} is kept no longer: there is a later good one"))


def status_of(attempts: Sequence[Attempt]) -> ExitCode:
    """1 where an image failed, be it once, else 3 where one could not be made or nothing was verified at all.

    A failure that is known, with a date that has not passed, is none.
    """
    nights = cell_nights(attempts)
    outcomes = {each.outcome for each in nights if not each.known_issue}
    if outcomes & {Outcome.FAIL, Outcome.FLAKY}:
        return ExitCode.FAILED_VERIFICATION
    if outcomes & {Outcome.ERROR, Outcome.MISS} or not any(each.outcome.judges for each in nights):
        return ExitCode.MACHINERY
    return ExitCode.DONE


def _tried(candidate: Candidate, means: Means) -> Iterator[tuple[Attempt, BootReport | None]]:
    """One profile's attempts: for each of its images those at each machine, or one that says why there was no boot."""
    try:
        profiles = candidate.load()
    except (ProfileError, UsageError) as exc:
        cell = Cell(profile=candidate.name, output="", machine="")
        yield _nothing(means.night, cell, Status.ERROR, "profile", exc), None
        return
    for profile in profiles:
        cell = Cell(profile=candidate.name, output=profile.output.file if profile.several else "", machine="")
        try:
            plan = _prepared(profile, means)
            if means.idle:
                means.idle.intersection_update(unused([plan], tuple(means.idle)))
            means.profiles[cell.name] = profile
            reports = _boot(plan, profile, means)
            _keep(profile, reports, means)
        except _NotHereError as exc:
            status = Status.MISS if candidate.named else Status.SKIP
            yield _nothing(means.night, cell, status, "build", exc), None
        except MetallizeError as exc:
            yield _nothing(means.night, cell, _fault(exc), "build", exc), None
        else:
            for report in reports:
                yield from _judged(profile, cell.on(report.machine), report, means)


def _keep(profile: Profile, reports: Sequence[BootReport], means: Means) -> None:
    """Keep an image that has passed somewhere, for the nights that are compared with it."""
    store = images.store_of(profile, means.options)
    for sha256 in {report.sha256 for report in reports if report.passed}:
        try:
            with store.locked(means.events):
                keeping.keep(kept_folder(means.build_dir), store, sha256)
        except (OSError, HostError) as exc:
            why = exc.message if isinstance(exc, HostError) else exc.strerror or str(exc)
            text = f"{store.file} is not kept, and no later image will be booted in turn with it: {why}"
            means.events.emit(Note(text=text, level=Level.WARNING))


def _judged(
    profile: Profile, cell: Cell, report: BootReport, means: Means
) -> Iterator[tuple[Attempt, BootReport | None]]:
    """The attempts at one machine: the boot that was, and where it failed one more, to know whether it fails again.

    That one changes no record: an image that has failed does not become a verified one by it.
    """
    attempts: list[Attempt] = []
    following: BootReport | None = report
    while following is not None:
        manifest = images.papers(profile, means.options, following.sha256)
        attempt, facts = attempt_of_report(means.night, cell, len(attempts) + 1, following, manifest)
        write_facts(facts_folder(means.build_dir), facts)
        attempts.append(attempt)
        yield attempt, following
        following = None
        why = again(attempts)
        if why:
            means.events.emit(Note(text=f"nightly: {cell} is booted again, {why}"))
            try:
                options = replace(means.options, machines=(cell.machine,))
                following = images.diagnose(profile, means.catalog, means.events, options, attempt.sha256)
            except MetallizeError as exc:
                yield _nothing(means.night, cell, _fault(exc), "build", exc, number=len(attempts) + 1), None


def _nothing(night: Night, cell: Cell, status: Status, stage: str, exc: MetallizeError, *, number: int = 1) -> Attempt:
    """The attempt at a profile that did not come to a boot."""
    text = exc.message.strip()
    reason = text.splitlines()[0] if text else type(exc).__name__
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return night.attempt(cell, number, status, stage=stage, reason=reason, signature=stage, started=started)


def _fault(exc: MetallizeError) -> Status:
    """Whose fault it is that there was nothing to boot: a layer that does not build is the profile's."""
    if isinstance(exc, EngineError | HostError | CommandError | BugError) and not isinstance(exc, LayerError):
        return Status.MISS
    return Status.ERROR


def _prepared(profile: Profile, means: Means) -> BuildPlan:
    """The plan, where this host has what it stands on. Raises _NotHereError where it has not."""
    try:
        plan = pipeline.prepare(profile, means.catalog, means.options, verified=True)
    except (HostError, UsageError) as exc:  # no emulator, or no machine that boots what it makes
        raise _NotHereError(exc.message, hint=exc.hint) from exc
    base = plan.rootfs.base
    if base is not None:
        means.engine.inspect(base.reference)  # an engine that does not answer is no reason to skip
        try:
            bases.resolve(means.engine, planning.base_of(base, means.catalog), means.events)
        except (EngineError, HostError) as exc:
            raise _NotHereError(f"no base {base.reference}: {exc.message}", hint=exc.hint) from exc
    return plan


def _boot(plan: BuildPlan, profile: Profile, means: Means) -> Sequence[BootReport]:
    """Build, and boot in any case: a verdict of another night says nothing of this one's host and emulator."""
    options = replace(means.options, again=True)
    try:
        built = pipeline.build(plan, profile, means.catalog, means.engine, means.events, options, verified=True)
    except VerificationFailed as exc:
        return [report for report in exc.reports if isinstance(report, BootReport)]
    return built.reports


def _line(attempt: Attempt) -> str:
    if attempt.confirms and not attempt.status.judges:
        return f"nightly: {attempt.cell} is suspected to be slower, and unconfirmed: {attempt.reason}"
    times = f", ready after {attempt.ready_seconds:.1f} s" if attempt.ready_seconds is not None else ""
    reason = f": {attempt.reason}" if attempt.reason else ""
    number = f" at attempt {attempt.attempt}" if attempt.attempt > 1 else ""
    if attempt.confirms:
        number = f" at boot {attempt.attempt} in turn, of {attempt.sha256[:12]}"
    known = f" (known: {attempt.known_issue})" if attempt.known_issue else ""
    return f"nightly: {attempt.cell} {attempt.status}{number}{reason}{known}{'' if attempt.bad else times}"
