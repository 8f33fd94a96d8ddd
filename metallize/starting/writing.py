"""New files on disk, each whole or not at all; nothing of a person's is written over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from metallize.errors import HostError
from metallize.starting.files import NewFile, is_unchanged


class Done(StrEnum):
    """What became of a file."""

    WROTE = "wrote"
    RENEWED = "renewed"
    SAME = "unchanged"
    KEPT = "kept"
    """It is there, and says something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file, and what became of it."""

    file: NewFile
    done: Done


def write(files: tuple[NewFile, ...]) -> tuple[Written, ...]:
    """Write what is not there, and anew a layer that init made and that nobody changed since. Raises HostError."""
    return tuple(Written(file=file, done=_write(file)) for file in files)


def _write(file: NewFile) -> Done:
    try:
        there = _text(file.path)
        if there == file.text:
            return Done.SAME
        if there is not None and not is_unchanged(there):
            return Done.KEPT
        file.path.parent.mkdir(parents=True, exist_ok=True)
        aside = file.path.with_name(f".{file.path.name}.{os.getpid()}")
        try:
            with aside.open("x", encoding="utf-8", newline="") as stream:
                stream.write(file.text)
            aside.replace(file.path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as exc:
        raise HostError(f"{file.path} cannot be written: {exc.strerror}", hint="name another folder") from exc
    return Done.WROTE if there is None else Done.RENEWED


def _text(path: Path) -> str | None:
    """What a file holds; of one that is no text of ours, anything but what is to be written."""
    if not os.path.lexists(path):
        return None
    try:
        return path.read_bytes().decode()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return ""
