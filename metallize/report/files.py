"""The reports that a run leaves in its folder, each whole or not there."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from metallize.model.report import BootReport
from metallize.report.as_json import report_to_json
from metallize.report.junit import junit_xml
from metallize.report.run_folder import read_run_folder
from metallize.report.run_page import run_page


def write_report(report: BootReport, folder: Path) -> None:
    """report.json, junit.xml, and report.html with what else the run has left in the folder."""
    write_whole(folder / "report.json", json.dumps(report_to_json(report), indent=2) + "\n")
    write_whole(folder / "junit.xml", junit_xml([report]))
    write_whole(folder / "report.html", run_page(report, read_run_folder(folder)))


def write_whole(path: Path, text: str) -> None:
    """Write beside the file and rename, so that nobody reads half of it. Raises OSError, which names the file."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as exc:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        exc.filename = exc.filename or str(path)  # a write that fails, as on a full disk, knows none
        raise
