"""How a command ends that did not come to its end: what it says, and its exit status."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from metallize.commands import bug_report
from metallize.commands.saying import show_error
from metallize.errors import FULL, MAKE_ROOM, BugError, ExitCode, HostError, MetallizeError, left_behind, of_thread
from metallize.render.colour import Colour

_ONLY_PRINT = frozenset(
    {"list", "explain", "schema", "plan", "doctor", "report", "ls", "runs", "logs", "completion", "man"}
)
"""Verbs whose output is all that comes of them."""
_CHILD_SECONDS = 2.0
"""A child that was killed is gone by then."""
_PAUSE_SECONDS = 0.05
_REPORT_IT = "report it to whoever maintains metallize, with"


def told(error: BaseException, words: Sequence[str], broken: BaseException | None, begun: float) -> int:
    """Tell what ended the command, as far as there is anybody to tell; the exit status. Raises nothing of its own.

    `broken` is what a thread has died of: that is why the others were interrupted. `begun` is when the command began,
    in seconds since the host did: a child from before that is not the command's.
    """
    if isinstance(error, KeyboardInterrupt) and broken is not None:
        error = of_thread("a thread", broken)
    if isinstance(error, BrokenPipeError):
        _give_up_output()
        return ExitCode.DONE if not words or words[0] in _ONLY_PRINT else ExitCode.UNREAD
    with suppress(OSError, ValueError, AttributeError):  # nobody hears: standard error is closed, or its disk is full
        if isinstance(error, KeyboardInterrupt):
            sys.stderr.write(f"\ninterrupted; {_remains(left_behind(error), begun)}\n")
        else:
            _show(_as_ours(error, words), as_json="--json" in words, colour=_colour(words))
    _give_up_output()
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return int(error.exit_code) if isinstance(error, MetallizeError) else ExitCode.MACHINERY


def _show(error: MetallizeError, *, as_json: bool, colour: Colour) -> None:
    show_error(error, as_json=as_json, colour=colour)
    sys.stdout.flush()


def _colour(words: Sequence[str]) -> Colour:
    """What the command line says of colours, as far as it can be read."""
    text = " ".join(words).replace("--color ", "--color=")
    return next((colour for colour in Colour if f"--color={colour}" in text.split()), Colour.AUTO)


def _as_ours(error: BaseException, words: Sequence[str]) -> MetallizeError:
    """The error as one that has a message for a person and a next step."""
    if isinstance(error, MetallizeError) and not isinstance(error, BugError):
        # Where no more can be written that is the next step, whatever was taken for likely.
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL and "room" not in (error.hint or ""):
            error.hint = MAKE_ROOM
        return error
    if isinstance(error, MemoryError):
        return HostError("this host has not enough memory left", hint="end other programs, or see `ulimit -v`")
    if isinstance(error, OSError):
        # What no step foresaw: a full disk above all. The words are the system's; a traceback helps nobody.
        where = f": {error.filename}" if error.filename else ""
        hint = "free some space, or choose another folder with --build-dir" if error.errno in FULL else None
        return HostError(f"{error.strerror or error}{where}", hint=hint)
    if (missing := _missing_package(error)) is not None:
        return HostError(
            f"the installation of metallize is not whole: {sys.executable} has no package {missing}",
            hint="install metallize anew: `scripts/quickstart` in a checkout, else pip with --force-reinstall",
        )
    bug = error if isinstance(error, BugError) else BugError("", error)
    _, secrets = bug_report.without_secrets(words)
    try:
        hint = f"{_REPORT_IT} {bug_report.write(error, words)}"
    except OSError:
        hint = f"{_REPORT_IT} this:\n{bug_report.report_text(error, words)}"
    return MetallizeError(bug_report.hide(bug.message, secrets), hint=hint)


def _missing_package(error: BaseException) -> str | None:
    """The package of somebody else that an installation lacks: one that was begun, or cleared away meanwhile."""
    cause = error.__cause__ if isinstance(error, BugError) else error
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return None
    package = cause.name.partition(".")[0]
    return None if package == "metallize" else package


def _remains(noted: Sequence[str], begun: float) -> str:
    """What is left of the command: what its parts could not clear away, and children that still run."""
    left = [*noted, *_children(begun)]
    return f"left behind: {', '.join(left)}" if left else "nothing was left behind"


def _children(begun: float) -> list[str]:
    """The processes that this one started since, and that do not end. A shell's `exec` leaves us its own."""
    end = time.monotonic() + _CHILD_SECONDS
    while (found := _children_now(begun)) and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
    return found


def _children_now(begun: float) -> list[str]:
    found = []
    since = int(begun * os.sysconf("SC_CLK_TCK"))
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            # proc_pid_stat(5): after the name, which may hold anything, come the third field and those that follow
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            state, parent, started = fields[0], int(fields[1]), int(fields[19])
            if parent == os.getpid() and state not in "ZX" and started >= since:
                found.append(f"process {folder.name} ({(folder / 'comm').read_text(errors='replace').strip()})")
    return found


def _give_up_output() -> None:
    """What cannot be written any more is not tried again when Python ends: that would change the exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
