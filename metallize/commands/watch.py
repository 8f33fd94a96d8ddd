"""watch: edit, and it is built and verified again.

Each build is a process of its own, as if somebody typed it: what breaks there breaks nothing here.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from metallize.command import spawn
from metallize.commands.shared import catalog_of, profiles_of
from metallize.errors import ExitCode, MetallizeError, ProfileError
from metallize.events import Level, Note
from metallize.files.watched import Watched
from metallize.model.loaded import Profile
from metallize.render import choose

_GRACE = timedelta(seconds=60)
"""For a build that is interrupted: mmdebstrap alone takes half a minute to clear away."""
_MOST_NAMES = 4


def watch(options: argparse.Namespace) -> int:
    """`metallize watch PROFILE`: until Ctrl-C, which is its proper end while nothing is being built.

    A profile that is wrong is told of, and waited for. Raises what a profile that does not exist does.
    """
    watched = _watched(options, None)
    while True:
        before = watched.look()
        status = _build(options)
        if status is None:
            return ExitCode.INTERRUPTED
        try:
            old, watched = watched, _watched(options, watched)
            before = watched.taken_over(before, old)
            _say(options, _came_of(status, len(before)), Level.INFO if status == 0 else Level.WARNING)
            changed = watched.wait(before)
        except KeyboardInterrupt:
            return ExitCode.DONE
        _say(options, f"changed: {_named(changed)}")


def _build(options: argparse.Namespace) -> int | None:
    """Build, and verify; the exit status, or None where we were interrupted, and the build with us."""
    try:
        with spawn(_argv(options), stdout=1, stderr=2, grace=_GRACE) as process:
            return process.wait()
    except KeyboardInterrupt:
        return None


def _argv(options: argparse.Namespace) -> tuple[str, ...]:
    """What a person would type; no module of the folder that it is typed in is taken for one of ours."""
    words = [sys.executable, "-P", "-m", "metallize", "build", str(options.profile)]
    words += [] if options.no_verify else ["--verify"]
    for option, values in (
        ("--set", options.overrides),
        ("--arg", options.arguments),
        ("--output", options.outputs),
        ("--secret", options.secrets),
        ("--ssh", options.ssh),
        ("--machine", options.machines),
        ("--build-dir", _one(options.build_dir)),
        ("--extensions-dir", _one(options.extensions_dir)),
        ("--junitxml", _one(options.junitxml)),
        ("--color", [options.colour]),
        *((("--accel", [options.accel]),) if not options.no_verify else ()),
    ):
        words += [f"{option}={value}" for value in values]
    for option, given in (
        ("--json", options.json),
        ("--verbose", options.verbose),
        ("--quiet", options.quiet),
        ("--capture", options.capture),
    ):
        words += [option] if given else []
    return tuple(words)


def _one(value: Path | None) -> list[Path]:
    return [] if value is None else [value]


def _watched(options: argparse.Namespace, last: Watched | None) -> Watched:
    """What the profile depends on now; of one that cannot be read, what it did depend on, or its own folder."""
    try:
        catalog = catalog_of(options)
        profiles = profiles_of(options, catalog)
    except (MetallizeError, OSError) as exc:
        if last is not None:
            return last
        if not isinstance(exc, ProfileError) or not options.profile.is_file():
            raise
        own = options.profile.absolute()
        ignored = {own.parent / (options.build_dir or "build"), Path.cwd() / (options.build_dir or "build")}
        return Watched(roots=frozenset({own.parent, own}), ignored=frozenset(ignored))
    roots: set[Path] = set()
    ignored = set[Path]()
    for profile in profiles:
        roots |= set(_files_of(profile))
        for name in profile.images:
            layer = catalog.layer(name, beside=profile.path.parent, dockerfile_dir=profile.settings.dockerfile_dir)
            if layer is not None:
                roots |= {layer.path.absolute(), layer.context.absolute()}
        ignored.add(Path(options.build_dir or profile.settings.build_dir).absolute())
    return Watched(roots=frozenset(_outermost(roots)), ignored=frozenset(ignored))


def _files_of(profile: Profile) -> Iterable[Path]:
    """The folders of the profile, of those that it extends and of its suites, where its seeds and keys are too."""
    places = {profile.path, *(each.path for each in profile.locations.values())}
    places |= {each.location.path for each in profile.assertions}
    return (path.absolute().parent for path in places if path.is_file())


def _outermost(paths: set[Path]) -> set[Path]:
    """Those that are in no other one."""
    return {path for path in paths if not paths.intersection(path.parents)}


def _came_of(status: int, files: int) -> str:
    """How a build ended, and what is done now."""
    ended = {
        int(ExitCode.DONE): "done",
        int(ExitCode.FAILED_VERIFICATION): "the image failed its verification",
        int(ExitCode.BAD_INPUT): "the profile cannot be built as it is",
    }.get(status, f"the build ended with status {status}")
    return f"{ended}; waiting for a change in {files} file{'s' if files != 1 else ''}, Ctrl-C ends it"


def _named(paths: tuple[Path, ...]) -> str:
    names = [shlex.quote(_short(path)) for path in paths[:_MOST_NAMES]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(options: argparse.Namespace, text: str, level: Level = Level.INFO) -> None:
    """As a line, or with --json as an event; nothing else shows events now."""
    renderer = choose(as_json=options.json, verbose=True)
    with renderer:
        renderer.emit(Note(text=text, level=level))
