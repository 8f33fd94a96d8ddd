"""nightly --install: the units by which systemd runs a night."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from metallize.command import run
from metallize.commands.saying import err, out
from metallize.errors import CommandError, ExitCode, HostError, UsageError
from metallize.files.cache import cache_folder
from metallize.night.executors import DEFAULT
from metallize.night.install import LATE, NAME, Manager, Nightly, folder_of, units_of, write_units

_DEFAULT_AT = "*-*-* 02:00:00"


def install(options: argparse.Namespace) -> int:
    """Write the units, or print them; what has them run is told and not done."""
    manager = Manager(options.manager or (Manager.USER if os.getuid() else Manager.SYSTEM))
    at: str = options.at or _DEFAULT_AT
    _require_time(at)
    cache = cache_folder()
    nightly = Nightly(
        manager=manager,
        command=(sys.executable, "-m", "metallize"),
        words=words_of(options),
        folder=Path.cwd(),
        build_dir=(options.build_dir or Path("build")).absolute(),
        writable=_writable(options, cache),
        at=at,
        path=os.environ.get("PATH", os.defpath),
    )
    units = units_of(nightly)
    folder = folder_of(manager, os.environ, Path.home())
    if options.print:
        for name, text in units.items():
            out(f"# {folder / name}\n{text}")
        return ExitCode.DONE
    if manager is Manager.SYSTEM:  # a unit may write to what is there when it starts
        for path in (nightly.build_dir, cache):
            path.mkdir(parents=True, exist_ok=True)
    for path in write_units(folder, units):
        out(str(path))
    systemctl = "systemctl --user" if manager is Manager.USER else "systemctl"
    err(f"next: {systemctl} daemon-reload && {systemctl} enable --now {NAME}.timer {LATE}.timer")
    if manager is Manager.USER:
        err("a user's timers run while the user is logged in; to have them run always: loginctl enable-linger")
    return ExitCode.DONE


def _writable(options: argparse.Namespace, cache: Path) -> tuple[Path, ...]:
    """What a night writes to besides its build folder: caches, the places of guests in the line, Docker's own notes."""
    junit = () if options.junitxml is None else (options.junitxml.absolute().parent,)
    shared = () if options.shared is None else (options.shared.absolute(),)
    return (cache, Path("/run/lock"), Path(f"/run/user/{os.getuid()}"), Path.home() / ".docker", *junit, *shared)


def words_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The command line of the night itself, of what was asked for beside --install."""
    found = [str(path) for path in options.profiles]
    for name, word in (("no_cache", "--no-cache"), ("capture", "--capture"), ("quiet", "--quiet")):
        found += [word] if getattr(options, name) else []
    for name, word in (
        ("tags", "--tag"), ("machines", "--machine"), ("arguments", "--arg"), ("overrides", "--set"),
        ("secrets", "--secret"), ("ssh", "--ssh"),
    ):  # fmt: skip
        found += [part for value in getattr(options, name) for part in (word, value)]
    for name, word in (
        ("since", "--since"), ("build_dir", "--build-dir"), ("extensions_dir", "--extensions-dir"),
        ("junitxml", "--junitxml"), ("keys", "--keys"), ("shared", "--shared"),
    ):  # fmt: skip
        value = getattr(options, name)
        found += [word, str(value)] if value is not None else []
    found += ["--accel", options.accel] if options.accel != "auto" else []
    found += ["--executor", options.executor] if options.executor != DEFAULT else []
    return (
        *found,
        "--confirm-boots", str(options.confirm_boots),
        "--confirm-minutes", str(options.confirm_minutes),
        "--bisect-minutes", str(options.bisect_minutes),
    )  # fmt: skip


def _require_time(at: str) -> None:
    """Raises UsageError for what systemd takes for no time; where systemd is not asked, it says so later."""
    try:
        run(("systemd-analyze", "calendar", "--", at))
    except CommandError as exc:
        why = exc.output_tail.strip().splitlines()[:1] or ["systemd does not know it"]
        raise UsageError(f"--at {at}: {why[0]}", hint="as systemd.time(7) has it: *-*-* 02:00:00") from exc
    except HostError:
        if not at.isprintable():
            raise UsageError(f"--at {at!r}: it is no time") from None
