"""report and regressions: what became of the matrix night after night."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from metallize.commands.saying import err, out
from metallize.commands.shared import settings_of
from metallize.errors import ExitCode, UsageError
from metallize.model.visible import visible
from metallize.night import history as histories
from metallize.night.facts import facts_folder, merge_facts
from metallize.night.judged import judged
from metallize.night.judging.findings import Verdict, day, grouped, lines_of
from metallize.night.judging.judgement import Terms
from metallize.night.pages.site import write_site
from metallize.proof import records_in
from metallize.release.curating import catalogues
from metallize.release.destinations import destination_at
from metallize.render import JsonLines
from metallize.report.annotations import annotations_of, as_text


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
    show_page(write_site(build_dir), as_json=options.json, status=int(ExitCode.DONE))
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


def show_page(page: Path, *, as_json: bool, status: int) -> None:
    """Print where the nights' page is."""
    if as_json:
        JsonLines(sys.stdout).write({"event": "result", "report": str(page), "exit": status})
    else:
        out(str(page))
