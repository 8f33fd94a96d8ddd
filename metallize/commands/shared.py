"""What the verbs have in common: what the options of every verb mean."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from metallize import pipeline
from metallize.build.secrets.given import given_of
from metallize.catalog import Catalog
from metallize.commands.options import OF_PROFILES
from metallize.commands.saying import err
from metallize.config import load_profiles
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import HostError, Location, Problem, ProfileError, UsageError
from metallize.model.loaded import Profile
from metallize.model.profile import SUFFIX_FORMATS
from metallize.model.report import BootReport
from metallize.render import Colour, JsonLines, Renderer, Style, choose
from metallize.report.as_json import report_to_json
from metallize.report.files import write_whole
from metallize.report.junit import junit_xml
from metallize.report.text import report_lines

_HEAD_BYTES = 4096
_PROFILE_SUFFIXES = frozenset({".yaml", ".yml"})


def renderer_of(options: argparse.Namespace) -> Renderer:
    """What shows the events of a verb that takes `showing`'s options."""
    return choose(as_json=options.json, verbose=options.verbose, quiet=options.quiet, colour=Colour(options.colour))


def catalog_of(options: argparse.Namespace) -> Catalog:
    folder: Path | None = options.extensions_dir
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--extensions-dir {folder}: there is no such folder")
    return Catalog(extensions_dir=folder)


def names_profile(target: Path) -> bool:
    """Whether this is a profile, a file or a shipped one's name, and not an image: its name tells, else its content."""
    if target.suffix in _PROFILE_SUFFIXES:
        return True
    if target.suffix in SUFFIX_FORMATS or target.is_dir():
        return False
    try:
        with target.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return True
    return b"\0" not in head and _is_text(head)


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        return len(head) == _HEAD_BYTES and exc.reason == "unexpected end of data"  # a character that was cut
    return True


def require_no_profile(options: argparse.Namespace, target: Path) -> None:
    """Raises UsageError for what would change a profile, where an image is meant that none tells of."""
    for name in OF_PROFILES:
        if getattr(options, name, None):
            written = {"overrides": "set", "arguments": "arg", "outputs": "output"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{written} goes with a profile, and {target} is an image", hint="leave it out")


def profile_of(options: argparse.Namespace, catalog: Catalog) -> Profile:
    """The one output that is meant: the only one, the one of --output, or else the first."""
    return profiles_of(options, catalog)[0]


def profiles_of(options: argparse.Namespace, catalog: Catalog) -> tuple[Profile, ...]:
    """The outputs of the profile that is named, a file or a shipped profile's name; those of --output alone."""
    path: Path = options.profile
    if not path.exists() and path.name == str(path) and path.suffix in {"", *_PROFILE_SUFFIXES}:
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
    for option, texts, prefix, example in (
        ("--set", options.overrides, "", "args.hostname=web1"),
        ("--arg", options.arguments, "args.", "hostname=web1"),
    ):
        for text in texts:
            key, equals, value = text.partition("=")
            if not equals or not key:
                kind = "NAME=VALUE" if prefix else "KEY=VALUE"
                raise UsageError(f"{option} {text}: it is {kind}", hint=f"for example {option} {example}")
            if prefix and "." in key:
                raise UsageError(f"{option} {text}: an argument's name has no dot", hint=f"--set {text}")
            pairs[f"{prefix}{key}"] = value
    return pairs


def settings_of(options: argparse.Namespace) -> pipeline.Options:
    folder: Path | None = options.build_dir
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"--build-dir {folder}: it is a file", hint="name a folder; it is made where there is none")
    junit: Path | None = getattr(options, "junitxml", None)
    if junit is not None and junit.is_dir():
        raise UsageError(f"--junitxml {junit}: it is a folder", hint="name a file")
    return pipeline.Options(
        build_dir=options.build_dir,
        machines=tuple(getattr(options, "machines", ())),
        accel=getattr(options, "accel", "auto"),
        fresh=getattr(options, "no_cache", False),
        pull=getattr(options, "pull", False),
        check=getattr(options, "check", False),
        given=given_of(options.secrets, options.ssh) if hasattr(options, "secrets") else None,
        keep_running=getattr(options, "keep_running_on_failure", False),
        capture=getattr(options, "capture", False),
    )


def show_reports(reports: Sequence[BootReport], renderer: Renderer, options: argparse.Namespace) -> None:
    """The verdicts: for --quiet those alone that did not pass."""
    for report in reports:
        if report.passed and options.quiet:
            continue
        if isinstance(renderer, JsonLines):
            renderer.write({"event": "report", **report_to_json(report)})
        else:
            for line in report_lines(report):
                err(line, _style_of(line, report), Colour(options.colour))


def _style_of(line: str, report: BootReport) -> Style | None:
    if line.startswith(f"{report.machine}: "):
        return Style.GOOD if report.passed else Style.BAD
    if line.strip().startswith(("FAILED", "UNSEEN")):
        return Style.BAD
    return Style.WARNING if line.startswith("  warning: ") else None


def write_junit(options: argparse.Namespace, reports: Sequence[BootReport], known: Sequence[str] = ()) -> None:
    """--junitxml: one file for all machines; `known` are images that had held all of it before.

    Raises HostError where it cannot be written.
    """
    if options.junitxml is not None:
        write_document(options.junitxml, junit_xml(reports, known=known))


def write_document(path: Path, text: str) -> None:
    """Write what --junitxml names. Raises HostError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as exc:
        raise HostError(f"--junitxml {path}: {exc.strerror or exc}", hint="see df -h and the rights") from exc
