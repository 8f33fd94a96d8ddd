"""A JSON object from a file that may be anybody's: cut short, huge, nested without end, or no file at all."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 64 << 20


def read_mapping(path: Path, *, most_bytes: int = MOST_BYTES) -> Mapping[str, Any]:
    """The object in a regular file. Raises OSError where there is none to read, ValueError for anything else."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe that nobody writes to does not hold us
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no file")
        text = file.read(most_bytes + 1)
    if len(text) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes >> 20} MiB")
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("it holds no object")  # noqa: TRY004 - one error for all that is wrong with the content
    return content


def as_mapping(value: object) -> Mapping[str, Any]:
    """A value of such a file that is to be an object. Raises TypeError where it is none."""
    if not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not {type(value).__name__}")
    return value


def as_text(value: object) -> str:
    """A value of such a file that is to be text. Raises TypeError where it is none."""
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {type(value).__name__}")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is larger than a number can be")
    return number


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice one reader takes the first value, and another the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it says {twice[:40]!r} twice")
    return content


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
