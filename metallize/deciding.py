"""What decides whether an image passes, as one digest: a judge that was mended judges again."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

DECIDES = (
    "asked.py",
    "checks",
    "command.py",
    "console",
    "deadline.py",
    "deciding.py",
    "guest.py",
    "host",
    "files",
    "machines",
    "model",
    "patience.py",
    "proof.py",
    "qemu",
    "serve",
    "shells",
    "verify",
)
"""What decides whether an image passes: folders, with all that is below them, and files of the package."""


@cache
def judge() -> str:
    """The digest of what decides in this process's package."""
    _stamps_before()
    return judge_in(files("metallize"))


def is_one_judge() -> bool:
    """Whether the package is still that of which `judge` told first.

    Where it was replaced since, whoever judges is neither the old judge nor the new one: a module is read when it is
    needed first.
    """
    before = judge()
    package = files("metallize")
    return _stamps(package) == _stamps_before() or judge_in(package) == before


@cache
def _stamps_before() -> object:
    return _stamps(files("metallize"))


def _stamps(package: Traversable) -> object:
    """What changes with the files, at a tenth of what reading them takes; of a package in an archive, nothing known."""
    if not isinstance(package, Path):
        return object()
    return sorted(stamp for name in DECIDES for stamp in _stamps_at(os.path.join(package, name)))  # noqa: PTH118 - below


def _stamps_at(place: str) -> Iterator[tuple[str, int, int, int]]:
    # Every boot asks for them, and pathlib would take most of the time.
    state = os.stat(place)  # noqa: PTH116
    if not stat.S_ISDIR(state.st_mode):
        yield place, state.st_size, state.st_mtime_ns, state.st_ctime_ns
        return
    for name in os.listdir(place):  # noqa: PTH208
        if _counts(name):
            yield from _stamps_at(f"{place}/{name}")


def judge_in(package: Traversable) -> str:
    """The digest of what decides in a package, of the names and the contents of its files."""
    digest = hashlib.sha256()
    found = dict(pair for name in DECIDES for pair in _files(package / name, name))
    for place, file in sorted(found.items()):
        content = file.read_bytes()
        digest.update(f"{len(place)} {place} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(place: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    if not place.is_dir():
        yield name, place
        return
    for below in place.iterdir():
        if _counts(below.name):
            yield from _files(below, f"{name}/{below.name}")


def _counts(name: str) -> bool:
    return name != "__pycache__" and not name.startswith(".")
