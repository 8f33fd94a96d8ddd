"""Folders that are gone whatever ends this process, kill -9 too: for what other programs must find by a name.

A small process waits for our end of a pipe, which the kernel closes with us, and then removes the folder. Should that
process be killed too, or the host lose its power, the next run removes what nobody holds a lock on (flock(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO

from metallize.command import spawn

_WAIT_AND_REMOVE = 'cat >/dev/null; exec rm -rf "$0"'
_YOUNG_SECONDS = 60.0
"""Whoever has just made a folder may not have locked it yet."""
_REMOVAL_SECONDS = 30.0


@contextmanager
def vanishing_folder(parent: Path, prefix: str, *, kin: str = "") -> Iterator[Path]:
    """A new folder that only we may enter, until the body is left or this process ends.

    Those of dead owners are removed first: in `parent`, or where the glob `kin` finds them from there.
    """
    parent = parent.absolute()
    for stale in parent.glob(f"{kin}{prefix}*"):
        remove_if_left(stale, prefix)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        reading, writing = os.pipe()
        ours = stack.enter_context(os.fdopen(writing, "wb"))
        with os.fdopen(reading, "rb") as theirs:
            janitor = stack.enter_context(spawn(("sh", "-c", _WAIT_AND_REMOVE, folder), stdin=theirs))
        stack.callback(_dismiss, janitor, ours)
        yield folder


def scratch_folder(prefix: str) -> AbstractContextManager[Path]:
    """The same where the system has temporary files (TMPDIR)."""
    return vanishing_folder(Path(tempfile.gettempdir()), prefix)


def _dismiss(janitor: subprocess.Popen[bytes], ours: IO[bytes]) -> None:
    """Have it remove the folder; it does what it would if we were killed."""
    ours.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        janitor.wait(_REMOVAL_SECONDS)


def remove_if_left(folder: Path, prefix: str, *, young_seconds: float = _YOUNG_SECONDS) -> bool:
    """Remove a folder that `vanishing_folder` made and that its owner left behind; whether that was so."""
    if re.fullmatch(re.escape(prefix) + r"[a-z0-9_]{8}", folder.name) is None:
        return False
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, a link, or not ours
        return False
    try:
        state = os.fstat(number)
        if state.st_uid != os.geteuid() or time.time() - state.st_mtime < young_seconds:
            return False
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:  # somebody uses it
        return False
    finally:
        os.close(number)
    return True
