"""`metallize nightly`: every cell of the matrix tried, and written down.

build/nightly/history.jsonl     one line for each attempt
build/nightly/images/           what is known of each image
build/report.html               the history on one page, written anew at the end
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from metallize import pipeline
from metallize.build.engines.engine import Engine
from metallize.build.step import digest_of
from metallize.catalog import Catalog
from metallize.errors import ExitCode
from metallize.events import Events, Level, Note
from metallize.model.report import BootReport
from metallize.night import history, index, keeping
from metallize.night.attempt import Attempt
from metallize.night.bisecting.bench import OfLayers
from metallize.night.bisecting.seeking import MOST_TIME, seek
from metallize.night.confirming import Budget, confirm
from metallize.night.course.booting import able, boot_all
from metallize.night.course.building import made
from metallize.night.course.journal import under_way
from metallize.night.course.means import Means, Seen
from metallize.night.executors import Executor, Ground, Session
from metallize.night.executors.processes import Processes
from metallize.night.facts import facts_folder, read_facts
from metallize.night.gather import Night, this_host
from metallize.night.history import history_path
from metallize.night.in_turn import OfOneHost
from metallize.night.judged import judged
from metallize.night.judging.judgement import Facts
from metallize.night.keeping import kept_folder
from metallize.night.matrix.making import Candidate
from metallize.night.matrix.value import Matrix
from metallize.night.outcomes import Outcome, cell_nights
from metallize.night.pages.site import write_site
from metallize.night.telling.board import Board


def run_nightly(
    matrix: Matrix,
    candidates: Sequence[Candidate],
    catalog: Catalog,
    engine: Engine,
    events: Events,
    options: pipeline.Options,
    *,
    seen: Seen = lambda _attempt, _report: None,
    budget: Budget | None = None,
    seeking: timedelta = MOST_TIME,
    anew: bool = False,
    executor: Executor | None = None,
) -> tuple[Attempt, ...]:
    """Build what cells wait for, boot every cell, whatever becomes of each; returns all attempts of the night.

    Then the images of which a time is suspected are booted in turn with those before them, within the budget, and for
    so long as `seeking` says it is looked for which layer is at fault of what got worse. A night
    that was left unfinished goes on: what it has tried is not tried again, unless the night is to begin `anew`. `seen`
    is told of each attempt as soon as it is written down. `executor` boots, by default this host.
    """
    build_dir = options.build_dir or Path("build")
    host = this_host()
    before = _before(build_dir, events)
    key = digest_of(matrix.key, host.id, *map(str, (options.fresh, options.pull, options.accel, options.capture)))
    nights = {each.night for each in before}
    board = Board(events)
    ground = Ground(catalog=catalog, events=board, options=options)
    with (
        (executor or Processes()).session(ground) as session,
        under_way(build_dir, key, nights, events, datetime.now(UTC), anew=anew) as journal,
    ):
        night = Night(began=journal.night, host=host, folder=str(build_dir.resolve()))

        def told(attempt: Attempt, report: BootReport | None) -> None:
            board.seen(attempt, report)
            seen(attempt, report)

        means = Means(
            catalog=catalog,
            engine=engine,
            events=board,
            options=options,
            night=night,
            journal=journal,
            known={each.name: each.known for each in candidates},
            seen=told,
            idle=set(options.given or ()),
            attempts=[each for each in before if journal.goes_on and night.has(each)],
        )
        matrix = matrix.timed(before)
        board.begin(matrix, means.attempts, session.cores)
        _try(matrix, frozenset(each.name for each in candidates if each.named), means, session)
        in_turn = _in_turn(matrix, means, session)
        for boot in _confirming(means, budget or Budget(), in_turn):
            means.add(boot, None)
        for boot in _seeking(matrix, means, seeking, in_turn):
            means.add(boot, None)
        _let_go(means)
        if history_path(build_dir).exists():
            write_site(build_dir)
        journal.end()
    for each in means.idle:
        events.emit(Note(text=f"--{each.kind} {each.word}: no layer that was built mounts it", level=Level.WARNING))
    return tuple(means.attempts)


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


def _before(build_dir: Path, events: Events) -> tuple[Attempt, ...]:
    """What was tried in the nights before, those too that are yet to come: that is said."""
    known = history.read(history_path(build_dir))
    if told := known.until(datetime.now(UTC)).told():
        events.emit(Note(text=f"nightly: {told}", level=Level.WARNING))
    return known.attempts


def _try(matrix: Matrix, named: frozenset[str], means: Means, session: Session) -> None:
    """What is wrong with profiles, then the builds, then the boots; the page whatever ends it."""
    try:
        for fault in matrix.faults:
            if not means.of(fault.cell):
                means.nothing(fault.cell, fault.status, fault.stage, fault.error)
        matrix = able(matrix, named, means, session)
        boot_all(matrix, made(matrix, named, means), means, session)
    finally:
        if history_path(means.build_dir).exists():  # an interruption may come before the first attempt
            write_site(means.build_dir)


def _in_turn(matrix: Matrix, means: Means, session: Session) -> OfOneHost:
    return OfOneHost(
        session=session,
        catalog=means.catalog,
        events=means.events,
        options=means.options,
        night=means.night,
        folder=kept_folder(means.build_dir),
        profiles={each.name: each.profile for each in matrix.builds},
    )


def _confirming(means: Means, budget: Budget, in_turn: OfOneHost) -> Iterator[Attempt]:
    """The boots that confirm or clear what is suspected in this night."""
    yield from confirm(_known(means), _facts(means), in_turn, budget=budget, mine=means.night.has)


def _seeking(matrix: Matrix, means: Means, most: timedelta, in_turn: OfOneHost) -> Iterator[Attempt]:
    """The boots that find the layers at fault of what got worse in this night."""
    if most:
        bench = OfLayers(host=in_turn, engine=means.engine, builds={each.name: each for each in matrix.builds})
        yield from seek(_known(means), _facts(means), bench, most=most, mine=means.night.has)


def _known(means: Means) -> tuple[Attempt, ...]:
    with index.opened(means.build_dir) as opened:
        return opened.history().until(datetime.now(UTC)).attempts


def _facts(means: Means) -> Facts:
    return partial(read_facts, facts_folder(means.build_dir))


def _let_go(means: Means) -> None:
    """Keep the images that a later night is compared with, and no other; all where some clock was wrong."""
    known, judgement = judged(means.build_dir)
    if known.ahead:
        return
    for sha256 in keeping.release(kept_folder(means.build_dir), judgement.compared):
        means.events.emit(Note(text=f"nightly: the image {sha256[:12]} is kept no longer: there is a later good one"))
