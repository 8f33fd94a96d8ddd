"""ssh and shell: into a guest that another process holds."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from pathlib import Path

from metallize.commands.saying import err
from metallize.commands.shared import catalog_of, profile_of
from metallize.errors import ExitCode, HostError, ProfileError, UsageError
from metallize.qemu.by_hand.attach import attach
from metallize.qemu.by_hand.held import Held, held_guests, read, ssh_argv

_HOLD = "metallize verify PROFILE --keep-running-on-failure holds a guest that failed"
_BUILD_DIR = Path("build")


def ssh(options: argparse.Namespace) -> int:
    """`metallize ssh`: OpenSSH's client takes our place, and its exit status is the command's."""
    _, guest = _the_one(options)
    if guest.ssh_port is None:
        raise UsageError(f"nothing leads into {guest.machine} over SSH", hint="metallize shell is its serial port")
    user = options.user or guest.user
    if not user:
        raise UsageError("the profile names nobody who logs in over SSH", hint="metallize ssh --user NAME")
    if shutil.which("ssh") is None:
        raise HostError("`ssh` is not installed", hint="apt-get install openssh-client; or metallize shell")
    words = [*ssh_argv(guest.ssh_port, user, key=guest.key if user == guest.user else None)]
    words += ["--", options.command] if options.command is not None else []
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would go on ignoring them
        signal.signal(number, signal.SIG_DFL)
    os.execvp(words[0], words)  # noqa: S606 - no shell is wanted, and a child would have to be lent our terminal


def shell(options: argparse.Namespace) -> int:
    """`metallize shell`: until Ctrl-], or the guest's end."""
    folder, guest = _the_one(options)
    line = guest.reached()
    if line is None:
        raise UsageError(f"the guest of {folder} is held no more", hint=_HOLD)
    with line:
        err(f"the serial port of {guest.machine}: Enter shows a prompt, Ctrl-] leaves it, and the guest goes on")
        attach(line)
    return ExitCode.DONE


def _the_one(options: argparse.Namespace) -> tuple[Path, Held]:
    """The guest that is meant. Raises UsageError where there is none, or more than one."""
    target = options.target
    if target is not None and (guest := read(Path(target))) is not None:
        return Path(target), guest
    runs = _build_dir(options) / "runs"
    found = {
        folder: guest
        for folder, guest in held_guests(runs).items()
        if (target is None or _is_of(folder, guest, runs, target))
        and (not options.machines or guest.machine in options.machines)
    }
    if not found:
        meant = f" of {target}" if target is not None else ""
        raise UsageError(f"no guest{meant} is held in {runs}", hint=_HOLD)
    if len(found) > 1:
        which = ", ".join(str(folder) for folder in found)
        raise UsageError(f"{len(found)} guests are held: {which}", hint="name one of these folders, or --machine")
    return next(iter(found.items()))


def _is_of(folder: Path, guest: Held, runs: Path, target: str) -> bool:
    """Whether a guest is that of a profile (by its path or name) or of an image."""
    path = Path(target)
    name = folder.relative_to(runs).parts[0]
    return name in (path.stem.lower(), path.name) or path.name == Path(guest.image).name


def _build_dir(options: argparse.Namespace) -> Path:
    """Where the runs are: as the command line says, or the profile, which may be broken while its guest is held."""
    if options.build_dir is not None:
        return Path(options.build_dir)
    if options.target is not None and Path(options.target).suffix in {".yaml", ".yml"}:
        options.profile = Path(options.target)
        try:
            return Path(profile_of(options, catalog_of(options)).settings.build_dir)
        except ProfileError:
            return _BUILD_DIR
    return _BUILD_DIR
