"""The only user of subprocess: run a tool to its end, or start one and look after it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from metallize.errors import CommandError, HostError

TAIL_CHARACTERS = 4_000
"""How much of a failed tool's output an error carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


def tethered(argv: Sequence[str | Path]) -> tuple[str, ...]:
    """The same command, killed by the kernel as soon as the thread that starts it ends, whatever ends that.

    setpriv (util-linux) asks for it (prctl(2), PR_SET_PDEATHSIG). We may have ended before it could: the shell looks
    whose child it is then, and starts nothing for a parent that is gone.
    """
    words = (str(word) for word in argv)
    look = '[ "$PPID" = "$0" ] && exec "$@"'
    return ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", look, str(os.getpid()), *words)


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: timedelta | None = None,
    pass_fds: Sequence[int] = (),
    hint: str | None = None,
) -> Finished:
    """Run a tool to its end and return what it printed.

    Raises CommandError when it ends non-zero (unless `check` is false) or takes longer than `timeout`,
    HostError when it does not exist. `env` is added to the process's environment.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(env),
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            timeout=timeout.total_seconds() if timeout else None,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as exc:
        if cwd is not None and not cwd.is_dir():
            raise
        raise HostError(f"`{words[0]}` is not installed", hint=hint or "run `metallize doctor`") from exc
    except subprocess.TimeoutExpired as exc:
        text = exc.stdout.decode(errors="replace") if isinstance(exc.stdout, bytes) else (exc.stdout or "")
        raise CommandError(words, -1, f"{text}\n(no end within {timeout})"[-TAIL_CHARACTERS:], hint=hint) from exc
    if check and done.returncode != 0:
        tail = (done.stdout + done.stderr)[-TAIL_CHARACTERS:]
        raise CommandError(words, done.returncode, tail, hint=hint)
    return Finished(argv=words, status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@contextmanager
def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    grace: timedelta = timedelta(seconds=5),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a tool in a session of its own, so that a Ctrl-C on the terminal reaches only us; on leaving, end it.

    A process that still runs when the body is left is asked to stop, and killed after `grace`.
    Raises HostError when the tool does not exist.
    """
    words = tuple(str(word) for word in argv)
    try:
        process = subprocess.Popen(
            words,
            env=_environment(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    except FileNotFoundError as exc:
        raise HostError(f"`{words[0]}` is not installed", hint="run `metallize doctor`") from exc
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(grace.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):  # the child died with input unread; its status says why
                    stream.close()
