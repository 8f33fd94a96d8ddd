"""The exception tree: everything the library raises on purpose.

    MetallizeError            message + hint + exit code
      ProfileError            bad input, with all its problems and their places   (exit 2)
      UsageError              a wrong command line                                (exit 2)
      CommandError            a tool failed: argv, status, tail of its output     (exit 3)
      EngineError             Docker is missing, stopped, or failed               (exit 3)
        LayerError            one layer's build failed: dockerfile line and output
      DifferentBytesError     two builds of one plan gave different bytes         (exit 2)
      GeneratorError          a generator failed or produced the wrong thing      (exit 3)
      HostError               the host lacks something: QEMU, firmware, disk space (exit 3)
      BugError                something of ours broke that nobody foresaw         (exit 3)
      BootError               the guest never got as far as it should; verify turns it into a failed report (exit 1)
      VerificationFailed      the image failed its boot assertions                (exit 1)

An assertion that fails is a result and not an exception; `VerificationFailed` is raised once, by the
pipeline, when the reports are complete.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where no more can be written."""
MAKE_ROOM = "make room: see df -h and the quotas"


class ExitCode(IntEnum):
    """What the process tells its caller (PROFILE.md, Commands)."""

    DONE = 0
    FAILED_VERIFICATION = 1
    BAD_INPUT = 2
    MACHINERY = 3
    INTERRUPTED = 130
    UNREAD = 141
    """Whoever read our output has gone before it was known what came of the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a file that a person can go to; line and column count from 1."""

    path: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a profile: where, what, and what to do about it."""

    location: Location
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class MetallizeError(Exception):
    """Base of all errors raised on purpose: what failed, and the next step as `hint`."""

    exit_code = ExitCode.MACHINERY

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MetallizeError):
    """The command line asks for something that does not exist or does not fit."""

    exit_code = ExitCode.BAD_INPUT


class ProfileError(MetallizeError):
    """A profile (or a suite it names) is wrong; carries every problem found in one run."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class CommandError(MetallizeError):
    """A host tool failed: its argv, its status and the tail of what it printed.

    Where no more could be written, the hint is about that, whatever the caller took for likely.
    """

    def __init__(self, argv: Sequence[str], status: int, output_tail: str, *, hint: str | None = None) -> None:
        tail = f"\n{output_tail.rstrip()}" if output_tail.strip() else ""
        self.full = any(os.strerror(number) in output_tail for number in FULL)
        """Whether a disk or a quota is full."""
        super().__init__(f"`{' '.join(argv)}` ended with status {status}{tail}", hint=MAKE_ROOM if self.full else hint)
        self.argv = tuple(argv)
        self.status = status
        self.output_tail = output_tail


class EngineError(MetallizeError):
    """The container engine is missing, does not answer, or refused."""


class LayerError(EngineError):
    """One layer failed to build; the message holds the dockerfile line and the tail of the output."""


class GeneratorError(MetallizeError):
    """A generator failed, or did not produce what its contract promises."""


class DifferentBytesError(MetallizeError):
    """Two builds from nothing gave different bytes; the message names each file that differs."""

    exit_code = ExitCode.BAD_INPUT


class HostError(MetallizeError):
    """The host lacks something this needs: a tool, firmware, disk space."""


class BugError(MetallizeError):
    """Something of ours broke in a way that nobody foresaw; it says nothing of the image. `__cause__` is what broke."""

    def __init__(self, where: str, cause: BaseException) -> None:
        parts = ("this is a bug in metallize", where, type(cause).__name__, str(cause))
        super().__init__(": ".join(part for part in parts if part))
        self.__cause__ = cause


def of_thread(where: str, error: BaseException) -> BaseException:
    """What a helper thread that died of an error ends the run with, in the thread that everybody waits for.

    Errors raised on purpose stay what they are, and so does a reader of our output that has gone.
    """
    if isinstance(error, MetallizeError | BrokenPipeError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        return HostError(f"{where}: {error}", hint=MAKE_ROOM)
    return BugError(where, error)


@contextmanager
def told_if_left(look: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Write on whatever ends the body what it leaves behind, as `look` tells once the body has cleared away."""
    try:
        yield
    except BaseException as exc:
        for left in look():
            exc.add_note(f"{_LEFT}{left}")
        raise


_LEFT = "left behind: "


def left_behind(error: BaseException) -> tuple[str, ...]:
    """What was written on an error, and on those in whose wake it came, by `told_if_left`."""
    found: list[str] = []
    seen: set[int] = set()
    following: list[BaseException | None] = [error]
    while following:
        each = following.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        found += [note.removeprefix(_LEFT) for note in getattr(each, "__notes__", ()) if note.startswith(_LEFT)]
        following += [each.__cause__, each.__context__]
    return tuple(dict.fromkeys(found))


class BootError(MetallizeError):
    """The guest never got as far as it should: the stage reached, the cause, the last console lines."""

    exit_code = ExitCode.FAILED_VERIFICATION

    def __init__(
        self,
        message: str,
        *,
        stage: str,
        hint: str | None = None,
        console_tail: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.console_tail = tuple(console_tail)


class VerificationFailed(MetallizeError):  # noqa: N818 - it names a verdict, not a fault
    """At least one machine did not pass; nothing was put in build/. `reports` are the machines' BootReports."""

    exit_code = ExitCode.FAILED_VERIFICATION

    def __init__(self, message: str, *, hint: str | None = None, reports: Sequence[object] = ()) -> None:
        super().__init__(message, hint=hint)
        self.reports = tuple(reports)
