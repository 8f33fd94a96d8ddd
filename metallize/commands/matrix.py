"""matrix: the cells of a night, printed for people or for a CI system that schedules by itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metallize.commands.candidates import candidates_of, paths_of, touched_of
from metallize.commands.saying import err
from metallize.commands.shared import catalog_of, settings_of
from metallize.errors import ExitCode
from metallize.night import index
from metallize.night.history import history_path
from metallize.night.matrix.formats import Format
from metallize.night.matrix.making import matrix_of
from metallize.night.matrix.printing import printed


def matrix(options: argparse.Namespace) -> int:
    """`metallize matrix [PROFILES...]`: nothing is built; the status is 2 where a profile is wrong."""
    catalog = catalog_of(options)
    settings = settings_of(options)
    candidates = candidates_of(options, catalog, paths_of(options, catalog), {})
    whole = matrix_of(candidates, catalog, settings, here=False)
    found = touched_of(options, catalog, settings, whole)
    chosen = found.matrix
    build_dir = settings.build_dir or Path("build")
    if history_path(build_dir).is_file():
        with index.opened(build_dir) as opened:
            chosen = chosen.timed(opened.history().attempts)
    sys.stdout.write(printed(chosen, options.format, found.why))
    if options.since is not None:
        gone = "".join(f"; gone: {cell}" for cell in found.gone)
        err(f"{len(chosen.entries)} cells changed since {options.since}, {found.unchanged} did not{gone}")
    if options.format is not Format.TABLE:
        for fault in chosen.faults:
            err(f"{fault.cell}: {fault.status}: {fault.reason}")
    return ExitCode.BAD_INPUT if any(fault.is_wrong for fault in chosen.faults) else ExitCode.DONE
