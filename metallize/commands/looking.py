"""ls, runs and logs: the images that are there, how their boots went, and what those printed."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metallize import inventory
from metallize.commands.saying import err, out
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import ExitCode, HostError, UsageError
from metallize.host import holders
from metallize.inventory import ImageFound, Standing
from metallize.model.visible import visible
from metallize.render import Colour, JsonLines, Style
from metallize.render.words import age, seconds, size
from metallize.report.runs import Run, State, find_runs

_STYLES = {
    Standing.VERIFIED: Style.GOOD,
    Standing.FAILED: Style.BAD,
    Standing.CHANGED: Style.BAD,
    State.PASSED: Style.GOOD,
    State.FAILED: Style.BAD,
    State.RUNNING: Style.HEAD,
}
_CHUNK_BYTES = 1 << 16
_LOOK_SECONDS = 0.2
_PAGE = "report.html"
_CONSOLE = "console.txt"


def ls(options: argparse.Namespace) -> int:
    """`metallize ls`: every image with its verdict, its age and its size."""
    build_dir = _folder(options)
    found = inventory.images_of(build_dir)
    if options.json:
        for image in found:
            JsonLines(sys.stdout).write(_image_as_json(image))
        return ExitCode.DONE
    if not found:
        err(f"no image in {build_dir}; next: metallize build PROFILE --verify")
    now = datetime.now(UTC)
    rows = [
        (
            f"{image.path.name}{' (kept aside)' if image.kept else ''}",
            image.standing,
            age(now - image.made) if image.made else "",
            size(image.size_bytes) if image.made else "",
            ", ".join(image.machines),
        )
        for image in found
    ]
    lines = _table(rows, Colour(options.colour))
    for image, line in zip(found, lines, strict=True):
        out(line)
        if image.why:
            out(visible(f"    {image.why}"))
    return ExitCode.DONE


def _image_as_json(image: ImageFound) -> dict[str, object]:
    return {
        "event": "image",
        "image": str(image.path),
        "kept": image.kept,
        "standing": image.standing,
        "why": image.why,
        "machines": list(image.machines),
        "profile": image.profile,
        "sha256": image.sha256,
        "size": image.size_bytes,
        "made": image.made.isoformat(timespec="seconds") if image.made else None,
    }


def runs(options: argparse.Namespace) -> int:
    """`metallize runs [NAME]`: the runs, the newest first, with what became of each."""
    found = _chosen(options)
    shown = found if options.all else found[: options.number]
    held = holders.now().within(run.folder for run in shown if run.verdict is None)
    if options.json:
        for run in shown:
            JsonLines(sys.stdout).write(
                {"event": "run", "folder": str(run.folder), "profile": run.profile, "machine": run.machine,
                 "began": run.began.isoformat(), "state": run.state(held), "stage": run.stage, "cause": run.cause,
                 "seconds": run.seconds}
            )  # fmt: skip
        return ExitCode.DONE
    now = datetime.now(UTC)
    rows = [
        (
            run.profile,
            run.state(held),
            age(now - run.began),
            seconds(run.seconds) if run.seconds is not None else "",
            f"{run.machine}  {run.folder}",
        )
        for run in shown
    ]
    for run, line in zip(shown, _table(rows, Colour(options.colour)), strict=True):
        out(line)
        if run.cause:
            out(visible(f"    in stage {run.stage}: {run.cause}"))
    if len(found) > len(shown):
        err(f"{len(found) - len(shown)} older ones: --all lists them")
    return ExitCode.DONE


def _chosen(options: argparse.Namespace) -> tuple[Run, ...]:
    """The runs that are meant, the newest first. Raises UsageError, with the nearest name, where there is none."""
    build_dir = _folder(options)
    every = find_runs(build_dir)
    found = every
    name: str | None = options.name
    if name is not None:
        stem = Path(name).name.removesuffix(".yaml").removesuffix(".yml")
        wanted = {name, stem, Path(name).stem}
        found = tuple(
            run for run in every if wanted & {run.profile, *run.profile.split("/"), run.profile.partition("/")[0]}
        )
        if not found:
            names = {part for run in every for part in run.profile.split("/")}
            hint = did_you_mean(stem, names) or f"metallize verify {name} makes the first"
            raise UsageError(f"no run of {name} in {build_dir / 'runs'}", hint=hint)
    if options.machines:
        machines = {run.machine for run in found}
        for machine in options.machines:
            if machine not in machines:
                raise UsageError(f"no run on machine `{machine}`", hint=did_you_mean(machine, machines))
        found = tuple(run for run in found if run.machine in options.machines)
    if options.failed:
        found = tuple(run for run in found if not run.passed)
    if not found:
        what = "no run that failed" if options.failed else "no run"
        raise UsageError(f"{what} in {build_dir / 'runs'}", hint="metallize build PROFILE --verify makes one")
    return found


def logs(options: argparse.Namespace) -> int:
    """`metallize logs [NAME]`: a file of the newest run that is meant: its console where none is named."""
    _check_belonging(options)
    run = _chosen_folder(options)
    if options.path:
        out(str(run))
        return ExitCode.DONE
    if options.open:
        return _open(run)
    if options.files:
        for path in sorted(each for each in run.rglob("*") if each.is_file()):
            out(f"{path.relative_to(run)}  {size(path.stat().st_size)}")
        return ExitCode.DONE
    path = run / options.file
    if not path.is_file():
        names = [each.relative_to(run).as_posix() for each in run.rglob("*") if each.is_file()]
        raise UsageError(f"there is no {path}", hint=did_you_mean(options.file, names) or "--files lists them")
    err(f"{path}:")
    _print(path, options.lines)
    if options.follow:
        try:
            _follow(path, run)
        except KeyboardInterrupt:  # its proper end
            err("")
    return ExitCode.DONE


def _check_belonging(options: argparse.Namespace) -> None:
    """Raises UsageError for what means nothing where no file is printed."""
    instead = next((name for name in ("files", "path", "open") if getattr(options, name)), None)
    for name, given in (("--file", options.file != _CONSOLE), ("--lines", options.lines is not None)):
        if instead and given:
            raise UsageError(f"{name} means nothing beside --{instead}, which prints no file", hint="leave one out")


def _chosen_folder(options: argparse.Namespace) -> Path:
    """The folder of one run: the one that is named, or the newest of a profile's."""
    if options.name is not None and (Path(options.name) / _CONSOLE).is_file():
        return Path(options.name)
    return _chosen(options)[0].folder


def _print(path: Path, lines: int | None) -> None:
    """The whole of a file, or its last lines, with nothing in it that acts on a terminal."""
    with path.open("rb") as file:
        if lines is not None:
            file.seek(_start_of_last(path, lines))
        while data := file.readline(_CHUNK_BYTES):
            sys.stdout.write(visible(data.decode("utf-8", "replace")))


def _start_of_last(path: Path, lines: int) -> int:
    """Where the last lines begin."""
    with path.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END)
        count = 0
        while position > 0:
            begin = max(0, position - _CHUNK_BYTES)
            file.seek(begin)
            data = file.read(position - begin)
            for offset in range(len(data) - 1, -1, -1):
                if data[offset] == ord("\n") and begin + offset != end - 1:
                    count += 1
                    if count == lines:
                        return begin + offset + 1
            position = begin
    return 0 if lines > 0 else end


def _follow(path: Path, run: Path) -> None:
    """Go on with what is added until the run has its verdict, or nobody is at it any more; Ctrl-C ends it."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        while True:
            over = (run / "report.json").exists() or not holders.now().within([run])
            while data := file.read(_CHUNK_BYTES):
                sys.stdout.write(visible(data.decode("utf-8", "replace")))
            sys.stdout.flush()
            if over:
                return
            time.sleep(_LOOK_SECONDS)


def _open(run: Path) -> int:
    """The page of a run in this desktop's browser; its path where there is none."""
    page = run / _PAGE
    if not page.is_file():
        raise UsageError(f"there is no {page}: the run has no verdict", hint=f"metallize logs {run}")
    opener = shutil.which("xdg-open")
    if opener is None:
        out(str(page))
        return ExitCode.DONE
    done = subprocess.run([opener, page], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        raise HostError(f"xdg-open could not open {page} (status {done.returncode})", hint=f"open {page} by hand")
    return ExitCode.DONE


def _folder(options: argparse.Namespace) -> Path:
    folder: Path = options.build_dir or Path("build")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--build-dir {folder}: it is a file", hint="name a folder with images and runs")
    return folder


def _table(rows: Sequence[tuple[str, Standing | State, str, str, str]], colour: Colour) -> list[str]:
    """Rows in columns; the second one coloured."""
    if not rows:
        return []
    texts = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[number]) for row in texts) for number in range(4)]
    lines = []
    for row, cells in zip(rows, texts, strict=True):
        style = _STYLES.get(row[1])
        state = f"{cells[1]:<{widths[1]}}"
        shown = style.paint(state, on=colour.on(sys.stdout)) if style else state
        line = f"{cells[0]:<{widths[0]}}  {shown}  {cells[2]:>{widths[2]}}  {cells[3]:>{widths[3]}}  {cells[4]}"
        lines.append(line.rstrip())
    return lines
