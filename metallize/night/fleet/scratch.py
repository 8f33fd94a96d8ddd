"""A folder for one process alone, gone with it; and whatever killed ones left of theirs goes, too."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from metallize.errors import HostError

_LOCK = ".lock"


@contextmanager
def own_folder(place: Path) -> Iterator[Path]:
    """One in this place while the body runs. Raises HostError where it cannot be made."""
    with ExitStack() as stack:
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(place / _LOCK, wait=True):  # nobody removes what is only about to be locked
                for old in place.iterdir():
                    with _locked(old / _LOCK, wait=False) as mine:
                        if mine:
                            shutil.rmtree(old, ignore_errors=True)
                own = place / f"{os.getpid()}-{secrets.token_hex(4)}"
                own.mkdir(mode=0o700)
                stack.callback(shutil.rmtree, own, ignore_errors=True)
                stack.enter_context(_locked(own / _LOCK, wait=True))
        except OSError as exc:
            raise HostError(f"{place}: {exc.strerror or exc}", hint="see df -h, its owner and rights") from exc
        yield own


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock while the body runs; false where somebody else has it."""
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(number)
