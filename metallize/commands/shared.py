"""What the verbs have in common: where they print, and what the options of every verb mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metallize import pipeline
from metallize.build.engines.docker import DockerEngine
from metallize.catalog import Catalog
from metallize.config import load_profiles
from metallize.config.suggest import did_you_mean
from metallize.errors import Location, MetallizeError, Problem, ProfileError, UsageError
from metallize.model.loaded import Profile
from metallize.model.report import BootReport
from metallize.model.visible import visible
from metallize.render import JsonLines, Renderer
from metallize.report.as_json import report_to_json
from metallize.report.text import report_lines


def out(text: str) -> None:
    sys.stdout.write(text + "\n")


def err(text: str) -> None:
    sys.stderr.write(visible(text) + "\n")


def show_error(exc: MetallizeError, *, as_json: bool) -> None:
    """What failed, where, and the next step: on standard error, and for --json as an event too."""
    if as_json:
        problems = [
            {"path": str(p.location.path), "line": p.location.line, "column": p.location.column, "message": p.message,
             "hint": p.hint}
            for p in (exc.problems if isinstance(exc, ProfileError) else ())
        ]  # fmt: skip
        content = {"event": "error", "message": exc.message, "hint": exc.hint, "exit": int(exc.exit_code)}
        JsonLines(sys.stdout).write({**content, "problems": problems} if problems else dict(content))
    if isinstance(exc, ProfileError):
        for problem in exc.problems:
            err(f"{problem}")
        count = len(exc.problems)
        err(f"error: {count} problem{'s' if count > 1 else ''}; nothing was built")
        return
    err(f"error: {exc.message}")
    if exc.hint:
        err(f"  next: {exc.hint}")


def catalog_of(options: argparse.Namespace) -> Catalog:
    folder: Path | None = options.extensions_dir
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--extensions-dir {folder}: there is no such folder")
    return Catalog(extensions_dir=folder)


def profile_of(options: argparse.Namespace, catalog: Catalog) -> Profile:
    """The one output that is meant: the only one, the one of --output, or else the first."""
    return profiles_of(options, catalog)[0]


def profiles_of(options: argparse.Namespace, catalog: Catalog) -> tuple[Profile, ...]:
    """The outputs of the profile that is named, a file or a shipped profile's name; those of --output alone."""
    path: Path = options.profile
    if not path.exists() and path.name == str(path) and path.suffix in {"", ".yaml"}:
        shipped = catalog.profiles.get(path.stem)
        if shipped is None:
            names = [*catalog.profiles, *(file.name for file in sorted(Path.cwd().glob("*.y*ml")))]
            place = Location(path=path, line=1, column=1)
            message = "there is no such file, and no shipped profile of that name"
            raise ProfileError([Problem(location=place, message=message, hint=did_you_mean(path.name, names))])
        path = shipped
    profiles = load_profiles(path, vocabulary=catalog.vocabulary(), overrides=_overrides(options))
    wanted: list[str] = getattr(options, "outputs", [])
    files = [profile.output.file for profile in profiles]
    for name in wanted:
        if name not in files:
            hint = did_you_mean(name, files) or f"it makes {', '.join(files)}"
            raise UsageError(f"--output {name}: {path} makes no such image", hint=hint)
    return tuple(profile for profile in profiles if not wanted or profile.output.file in wanted)


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    pairs = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text}: it is KEY=VALUE", hint="for example --set args.hostname=web1")
        pairs[key] = value
    return pairs


def settings_of(options: argparse.Namespace) -> pipeline.Options:
    folder: Path | None = options.build_dir
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"--build-dir {folder}: it is a file", hint="name a folder; it is made where there is none")
    return pipeline.Options(
        build_dir=options.build_dir,
        machines=tuple(getattr(options, "machines", ())),
        accel=getattr(options, "accel", "auto"),
        fresh=getattr(options, "no_cache", False),
        pull=getattr(options, "pull", False),
        keep_running=getattr(options, "keep_running_on_failure", False),
        capture=getattr(options, "capture", False),
    )


@contextmanager
def engine_of_host() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    try:
        yield engine
    finally:
        engine.close()


def show_reports(reports: Sequence[BootReport], renderer: Renderer) -> None:
    for report in reports:
        if isinstance(renderer, JsonLines):
            renderer.write({"event": "report", **report_to_json(report)})
        else:
            for line in report_lines(report):
                err(line)
