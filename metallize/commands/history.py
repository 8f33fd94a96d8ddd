"""nightly and report: the whole matrix, and what became of it night after night."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from metallize.commands.engine import engine_of_host
from metallize.commands.saying import err, out
from metallize.commands.shared import (
    catalog_of,
    profiles_of,
    renderer_of,
    settings_of,
    show_reports,
    write_junit,
)
from metallize.errors import ExitCode, UsageError
from metallize.model.report import BootReport
from metallize.model.visible import visible
from metallize.night import history as histories
from metallize.night import run as nightlies
from metallize.night.attempt import Attempt
from metallize.night.confirming import Budget
from metallize.night.facts import facts_folder, merge_facts
from metallize.night.judged import judged
from metallize.night.judging.findings import Kind, Verdict, day, grouped, lines_of
from metallize.night.judging.judgement import Judgement, Terms
from metallize.night.known import FILE as KNOWN
from metallize.night.known import advice, read_known
from metallize.night.lines import plain_of
from metallize.night.pages.site import page_path, write_site
from metallize.proof import records_in
from metallize.release.curating import catalogues
from metallize.release.destinations import destination_at
from metallize.render import JsonLines
from metallize.report.annotations import annotations_of, as_text
from metallize.report.as_json import report_to_json


def nightly(options: argparse.Namespace) -> int:
    """`metallize nightly [PROFILES...]`: the status is 1 where an image failed, else 3 where one was not made."""
    catalog = catalog_of(options)
    settings = settings_of(options)
    paths = options.profiles or [Path(name) for name in catalog.profiles]
    known = {folder: read_known(folder / KNOWN) for folder in {path.parent for path in paths}}
    candidates = [
        nightlies.Candidate(
            name=path.stem,
            load=partial(profiles_of, argparse.Namespace(**{**vars(options), "profile": path}), catalog),
            named=bool(options.profiles),
            known=known[path.parent],
        )
        for path in paths
    ]
    renderer = renderer_of(options)
    reports: list[BootReport] = []

    def seen(attempt: Attempt, boot_report: BootReport | None) -> None:
        if boot_report is not None:
            reports.append(boot_report)
        if isinstance(renderer, JsonLines):
            if boot_report is not None:
                renderer.write({"event": "report", **report_to_json(boot_report)})
            renderer.write({"event": "nightly", **plain_of(attempt)})
        elif boot_report is not None and not boot_report.passed:
            show_reports([boot_report], renderer, options)

    with renderer, engine_of_host() as engine:
        attempts = nightlies.run_nightly(
            candidates, catalog, engine, renderer, settings, seen=seen, budget=_budget(options)
        )
    status = nightlies.status_of(attempts)
    build_dir = settings.build_dir or Path("build")
    history, judgement = judged(build_dir)
    entries = [each for some in known.values() for each in some]
    for text in advice(entries, history.attempts, datetime.now(UTC).date()):
        err(f"known: {text}")
    worse = [each for each in judgement.findings if each.alarms and attempts and each.night == attempts[0].night]
    if worse and not options.json:
        err(f"{len(worse)} got worse; what and why: metallize regressions")
    for text in () if options.json else _slower(judgement, {each.night for each in attempts}):
        err(text)
    _show_page(page_path(build_dir), as_json=options.json, status=int(status))
    write_junit(options, reports)
    return status


def _slower(judgement: Judgement, nights: AbstractSet[str]) -> Iterator[str]:
    """What became of the times that were suspected, a line each."""
    for each in judgement.findings:
        if each.kind is Kind.TIME and each.night in nights and each.verdict is not Verdict.YOUNG:
            yield f"{each.verdict}: {each.cell}: {each.what}"


def _budget(options: argparse.Namespace) -> Budget:
    return Budget(boots=options.confirm_boots, time=timedelta(minutes=options.confirm_minutes))


def report(options: argparse.Namespace) -> int:
    """`metallize report`: the nightlies' history as pages, or what did not hold as a CI system shows it."""
    build_dir = settings_of(options).build_dir or Path("build")
    if options.annotations is not None:
        root = Path(os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or ".")
        found = [each for record in records_in(build_dir) for each in annotations_of(record, root)]
        sys.stdout.write(as_text(options.annotations, found))
        return ExitCode.DONE
    others: list[Path] = options.merge
    if others:
        new = histories.merge(histories.history_path(build_dir), [histories.history_path(each) for each in others])
        merge_facts(facts_folder(build_dir), [facts_folder(each) for each in others])
        err(f"{new} attempt{'' if new == 1 else 's'} taken in")
    _show_page(write_site(build_dir), as_json=options.json, status=int(ExitCode.DONE))
    return ExitCode.DONE


def regressions(options: argparse.Namespace) -> int:
    """`metallize regressions`: what got worse in the latest night, or since a day, five lines each."""
    build_dir = settings_of(options).build_dir or Path("build")
    history, judgement = judged(build_dir, Terms(released=_released(options)))
    if not history.attempts:
        raise UsageError(
            f"there is no history in {histories.history_path(build_dir)}",
            hint="metallize nightly makes the first night of it",
        )
    since = options.since or max(each.night for each in history.attempts)
    told = [each for each in judgement.findings if each.night >= since and (options.all or each.verdict in _TOLD)]
    found = list(told if options.json else grouped(told))
    found.sort(key=lambda each: (not each.alarms, each.verdict is Verdict.CHANGED, each.night))
    lines = JsonLines(sys.stdout) if options.json else None
    for each in found:
        if lines is not None:
            lines.write({"event": "regression", **asdict(each), "cell": str(each.cell)})
        else:
            out(visible("\n".join(lines_of(each))) + "\n")
    if history.told():
        err(f"note: {history.told()}")
    worse = sum(each.alarms for each in found)
    if lines is not None:
        lines.write({"event": "result", "since": since, "worse": worse, "count": len(found)})
    else:
        err(f"{worse} worse, {len(found) - worse} to know of, since {day(since)}")
    return ExitCode.DONE


def _released(options: argparse.Namespace) -> dict[str, str]:
    """What the releases of --release are called, by the digests of their images."""
    if options.release is None:
        if options.channel is not None:
            raise UsageError("--channel goes with --release", hint="--release DEST")
        return {}
    return {
        image.image_sha256: f"the release {release.key}"
        for each in catalogues(destination_at(options.release))
        if options.channel in (None, each.channel)
        for release in each.releases
        for image in release.images
    }


_TOLD = frozenset({Verdict.WORSE, Verdict.SUSPECT, Verdict.CHANGED})
"""What is told without --all."""


def _show_page(page: Path, *, as_json: bool, status: int) -> None:
    if as_json:
        JsonLines(sys.stdout).write({"event": "result", "report": str(page), "exit": status})
    else:
        out(str(page))
