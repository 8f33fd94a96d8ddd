"""nightly: every cell of the matrix built, booted and written down."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metallize.commands.candidates import candidates_of, known_of, paths_of, touched_of
from metallize.commands.engine import engine_of_host
from metallize.commands.history import show_page
from metallize.commands.installing import install
from metallize.commands.live import live
from metallize.commands.saying import err
from metallize.commands.shared import catalog_of, renderer_of, settings_of, show_reports, write_document
from metallize.commands.telling import deliverer, late, tell_of_night
from metallize.errors import ExitCode, UsageError
from metallize.model.report import BootReport
from metallize.model.visible import visible
from metallize.night.attempt import Attempt
from metallize.night.confirming import Budget
from metallize.night.executors import executor_at
from metallize.night.judged import judged
from metallize.night.judging.findings import Kind, Verdict
from metallize.night.judging.judgement import Judgement
from metallize.night.known import Known, advice
from metallize.night.lines import plain_of
from metallize.night.matrix.making import matrix_of
from metallize.night.pages.site import page_path
from metallize.night.run import run_nightly, status_of
from metallize.night.telling.alive import Alive, begun
from metallize.night.telling.summary import night_junit, summary
from metallize.render import JsonLines, Renderer
from metallize.report.as_json import report_to_json


def nightly(options: argparse.Namespace) -> int:
    """`metallize nightly [PROFILES...]`: the status is 1 where an image failed, else 3 where one was not made."""
    if options.install:
        return install(options)
    for name in ("print", "at", "manager"):
        if getattr(options, name):
            word = options.manager if name == "manager" else name
            raise UsageError(f"--{word} goes with --install", hint="leave it out")
    if options.serve:
        return live(options)
    for name, word in (("address", "--address"), ("http_port", "--http-port")):
        if getattr(options, name) is not None:
            raise UsageError(f"{word} goes with --serve", hint="leave it out")
    return _night(options) if options.late is None else late(options)


def _night(options: argparse.Namespace) -> int:
    begun()  # planning, too, may take longer than a unit is given to start
    catalog = catalog_of(options)
    settings = settings_of(options)
    deliver = deliverer()
    paths = paths_of(options, catalog)
    known = known_of(paths, catalog)
    candidates = candidates_of(options, catalog, paths, known)
    executor = executor_at(options.executor, options.keys, options.shared)
    whole = matrix_of(candidates, catalog, settings, here=executor.here)
    matrix = touched_of(options, catalog, settings, whole).matrix
    if options.since is not None and not matrix.entries and not matrix.faults:
        err(f"nothing that a night tries has changed since {options.since}")
        return ExitCode.DONE
    renderer = renderer_of(options)
    reports: list[BootReport] = []

    def seen(attempt: Attempt, report: BootReport | None) -> None:
        if report is not None:
            reports.append(report)
        _show(attempt, report, renderer, options)

    budget = Budget(boots=options.confirm_boots, time=timedelta(minutes=options.confirm_minutes))
    with renderer, engine_of_host() as engine:
        attempts = run_nightly(
            matrix,
            candidates,
            catalog,
            engine,
            Alive(renderer),
            settings,
            seen=seen,
            budget=budget,
            seeking=timedelta(minutes=options.bisect_minutes),
            anew=options.anew,
            executor=executor,
        )
    status = status_of(attempts)
    build_dir = settings.build_dir or Path("build")
    history, judgement = judged(build_dir)
    advised = advice(_entries(known), history.attempts, datetime.now(UTC).date())
    _conclude(options, attempts, judgement, advised)
    if deliver is not None and attempts:
        tell_of_night(build_dir, history.attempts, judgement, advised, attempts[0].night, deliver, renderer)
    if options.junitxml is not None:
        write_document(options.junitxml, night_junit(attempts, reports))
    if history.attempts:
        show_page(page_path(build_dir), as_json=options.json, status=int(status))
    return status


def _entries(known: dict[Path, tuple[Known, ...]]) -> list[Known]:
    """Each once, whatever the number of profiles that it is beside."""
    return list(dict.fromkeys(each for some in known.values() for each in some))


def _show(attempt: Attempt, report: BootReport | None, renderer: Renderer, options: argparse.Namespace) -> None:
    """An attempt as soon as it is written down."""
    if isinstance(renderer, JsonLines):
        if report is not None:
            renderer.write({"event": "report", **report_to_json(report)})
        renderer.write({"event": "nightly", **plain_of(attempt)})
    elif report is not None and not report.passed:
        show_reports([report], renderer, options)


def _conclude(
    options: argparse.Namespace, attempts: Sequence[Attempt], judgement: Judgement, advised: Sequence[str]
) -> None:
    """What became of the night: a line a cell, then what got worse, and what is to be done about known failures."""
    for text in advised:
        err(f"known: {text}")
    if options.json:
        return
    for night, line in summary(attempts):
        if night.outcome.bad or not options.quiet:
            err(line)
    own = [each for each in judgement.findings if attempts and each.night == attempts[0].night]
    for text in _slower(Judgement(findings=tuple(own))):
        err(text)
    worse = sum(each.alarms for each in own)
    if worse:
        err(f"{worse} got worse; what and why: metallize regressions")


def _slower(judgement: Judgement) -> Iterator[str]:
    """What became of the times that were suspected, a line each."""
    for each in judgement.findings:
        if each.kind is Kind.TIME and each.verdict is not Verdict.YOUNG:
            yield visible(f"{each.verdict}: {each.cell}: {each.what}")
