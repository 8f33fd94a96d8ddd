"""nightly and report: the whole matrix, and what became of it night after night."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path

from metallize import nightly as nightlies
from metallize.commands.shared import catalog_of, engine_of_host, out, profiles_of, settings_of, show_reports
from metallize.errors import ExitCode
from metallize.model.report import BootReport
from metallize.render import JsonLines, Renderer, choose
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
    renderer = choose(as_json=options.json, verbose=options.verbose)

    def seen(entry: HistoryEntry, boot_report: BootReport | None) -> None:
        if isinstance(renderer, JsonLines):
            if boot_report is not None:
                renderer.write({"event": "report", **report_to_json(boot_report)})
            renderer.write({"event": "nightly", **asdict(entry)})
        elif boot_report is not None and not boot_report.passed:
            show_reports([boot_report], renderer)

    with renderer, engine_of_host() as engine:
        entries = nightlies.run_nightly(candidates, catalog, engine, renderer, settings, seen=seen)
    status = nightlies.status_of(entries)
    _show_page(nightlies.page_path(settings), renderer, status=int(status))
    return status


def report(options: argparse.Namespace) -> int:
    """`metallize report`: the nightlies' history as a page."""
    page = nightlies.write_page(nightlies.page_path(settings_of(options)).parent)
    _show_page(page, choose(as_json=options.json, verbose=options.verbose), status=int(ExitCode.DONE))
    return ExitCode.DONE


def _show_page(page: Path, renderer: Renderer, *, status: int) -> None:
    if isinstance(renderer, JsonLines):
        renderer.write({"event": "result", "report": str(page), "exit": status})
    else:
        out(str(page))
