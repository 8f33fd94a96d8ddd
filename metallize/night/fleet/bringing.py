"""What a boot on a worker left, put where it would be had it been made here."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from metallize.errors import HostError
from metallize.model.report import BootReport
from metallize.night.fleet.evidence import unpack
from metallize.qemu.vm import make_run_folder
from metallize.report.files import write_report
from metallize.verify import VerifyRequest

_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[0-9]{1,3})?")
"""A run's folder (metallize.qemu.vm, make_run_folder)."""


def brought(
    report: BootReport, path: Path | None, request: VerifyRequest, image: Path, begun: datetime, missing: str
) -> tuple[BootReport, str]:
    """The report with this host's paths in it, beside its evidence; and why that is missing, empty where it is whole.

    Raises OSError and HostError where it cannot be written here.
    """
    runs = request.runs_dir / request.machine_entry
    folders: dict[str, Path] = {}
    last = report.run_folder.name
    if path is not None and not missing:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fleet-", dir=request.runs_dir) as work:
            try:
                unpack(path, Path(work))
                found = sorted(each for each in Path(work).iterdir())
                if last not in {each.name for each in found} or not all(_STAMP.fullmatch(each.name) for each in found):
                    raise HostError("it is not what a boot leaves")  # noqa: TRY301 - told as what is missing
            except HostError as exc:
                missing = exc.message
            else:
                for each in found:
                    folders[each.name] = make_run_folder(runs, begun)
                    each.chmod(0o700)
                    each.replace(folders[each.name])
    if last not in folders:
        folders[last] = make_run_folder(runs, begun)
    notes = [_named_here(note, report.run_folder.parent, folders) for note in report.notes]
    if missing:
        notes.append(f"the evidence of this boot is missing: {missing}")
    report = replace(report, image=image, run_folder=folders[last], notes=tuple(notes))
    write_report(report, folders[last])
    return report, missing


def _named_here(note: str, there: Path, folders: dict[str, Path]) -> str:
    for name, folder in folders.items():
        note = note.replace(str(there / name), str(folder))
    return note
