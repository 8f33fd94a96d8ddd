"""nightly and report: the whole matrix, and what became of it night after night."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from metallize import nightly as nightlies
from metallize.commands.engine import engine_of_host
from metallize.commands.saying import out
from metallize.commands.shared import (
    catalog_of,
    profiles_of,
    renderer_of,
    settings_of,
    show_reports,
    write_junit,
)
from metallize.errors import ExitCode
from metallize.model.report import BootReport
from metallize.proof import records_in
from metallize.render import JsonLines
from metallize.report.annotations import annotations_of, as_text
from metallize.report.as_json import report_to_json
from metallize.report.history import HistoryEntry


def nightly(options: argparse.Namespace) -> int:
    """`metallize nightly [PROFILES...]`: the status is 1 where an image failed, else 3 where one was not made."""
    catalog = catalog_of(options)
    settings = settings_of(options)
    paths = options.profiles or [Path(name) for name in catalog.profiles]
    candidates = [
        nightlies.Candidate(
            name=path.stem,
            load=partial(profiles_of, argparse.Namespace(**{**vars(options), "profile": path}), catalog),
            named=bool(options.profiles),
        )
        for path in paths
    ]
    renderer = renderer_of(options)
    reports: list[BootReport] = []

    def seen(entry: HistoryEntry, boot_report: BootReport | None) -> None:
        if boot_report is not None:
            reports.append(boot_report)
        if isinstance(renderer, JsonLines):
            if boot_report is not None:
                renderer.write({"event": "report", **report_to_json(boot_report)})
            renderer.write({"event": "nightly", **asdict(entry)})
        elif boot_report is not None and not boot_report.passed:
            show_reports([boot_report], renderer, options)

    with renderer, engine_of_host() as engine:
        entries = nightlies.run_nightly(candidates, catalog, engine, renderer, settings, seen=seen)
    status = nightlies.status_of(entries)
    _show_page(nightlies.page_path(settings), as_json=options.json, status=int(status))
    write_junit(options, reports)
    return status


def report(options: argparse.Namespace) -> int:
    """`metallize report`: the nightlies' history as a page, or what did not hold as a CI system shows it."""
    if options.annotations is not None:
        root = Path(os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or ".")
        records = records_in(settings_of(options).build_dir or Path("build"))
        found = [each for record in records for each in annotations_of(record, root)]
        sys.stdout.write(as_text(options.annotations, found))
        return ExitCode.DONE
    page = nightlies.write_page(nightlies.page_path(settings_of(options)).parent)
    _show_page(page, as_json=options.json, status=int(ExitCode.DONE))
    return ExitCode.DONE


def _show_page(page: Path, *, as_json: bool, status: int) -> None:
    if as_json:
        JsonLines(sys.stdout).write({"event": "result", "report": str(page), "exit": status})
    else:
        out(str(page))
