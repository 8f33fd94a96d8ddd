"""One text for equal values, in every process: what digests of values are made of.

Never through repr(): that holds addresses, the order of sets, and whatever a library prints of its objects. What
it does not know it refuses, so that nothing is left out unnoticed.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path, PurePath
from typing import TypeAlias

from pydantic import BaseModel

from metallize.model.written import WrittenFloat, WrittenInt

Plain: TypeAlias = "str | int | list[Plain] | None"
_DEEPEST = 200


def digest_of(value: object) -> str:
    """SHA-256 of the canonical text, in hexadecimal. Raises as `canonical`."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def canonical(value: object) -> str:
    """ASCII text that is the same for equal values, and another for values that differ.

    Lists and tuples are alike; a mapping's and a set's order means nothing; of a dataclass the fields that count
    in a comparison count, the others follow from those; a path stands for its file's content, wherever that is;
    a function for its name. Raises TypeError for a value of a type that it does not know, for a function without a
    name of its own and for a path that is no file, ValueError for what is nested too deeply (or in itself).
    """
    return _text(_plain(value, 0))


def _text(plain: Plain) -> str:
    return json.dumps(plain, separators=(",", ":"))


def _plain(value: object, depth: int) -> Plain:
    if depth > _DEEPEST:
        raise ValueError("a value is nested too deeply")
    scalar = _scalar(value)
    if scalar is not None:
        return scalar
    deeper = depth + 1
    match value:
        case Mapping():
            pairs = [[_plain(key, deeper), _plain(item, deeper)] for key, item in value.items()]
            return ["map", *sorted(pairs, key=lambda pair: _text(pair[0]))]
        case set() | frozenset():
            return ["set", *sorted((_plain(item, deeper) for item in value), key=_text)]
        case BaseModel():
            names = sorted(type(value).model_fields)
            return [_type(value), *([name, _plain(getattr(value, name), deeper)] for name in names)]
        case Sequence() if isinstance(value, list | tuple):
            return ["list", *(_plain(item, deeper) for item in value)]
        case _ if is_dataclass(value) and not isinstance(value, type):
            names = sorted(field.name for field in fields(value) if field.compare)
            return [_type(value), *([name, _plain(getattr(value, name), deeper)] for name in names)]
        case _:
            raise TypeError(f"a value of type {_type(value)} has no canonical form")


def _scalar(value: object) -> Plain:  # noqa: C901, PLR0911 - one case for each type
    """A value that has no parts; None where it is none of those."""
    match value:
        case None:
            return ["none"]
        case Enum():
            return ["enum", _type(value), value.name]
        case bool():
            return ["bool", str(value)]
        case WrittenInt() | WrittenFloat():
            return ["number", _number(value), value.text]
        case int() | float() if type(value) in {int, float}:
            return ["number", _number(value)]
        case str() if type(value) is str:
            return ["text", value]
        case bytes():
            return ["bytes", value.hex()]
        case timedelta():
            return ["time", value.days, value.seconds, value.microseconds]
        case re.Pattern():
            return ["pattern", _scalar(value.pattern), value.flags]
        case PurePath():
            return ["file", _content(Path(value))]
        case _ if inspect.isroutine(value):
            return ["function", _function(value)]
        case _:
            return None


def _number(value: float) -> str:
    return f"int {hex(value)}" if isinstance(value, int) else f"float {float.__repr__(value)}"


def _type(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _content(path: Path) -> str:
    if not path.is_file():
        raise TypeError(f"{path} is no file, and stands for nothing")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _function(value: object) -> str:
    name = str(getattr(value, "__qualname__", ""))
    bound = getattr(value, "__self__", None)  # of a function of a built-in module, that module
    if not name or "<" in name or (bound is not None and not inspect.ismodule(bound)):
        raise TypeError(f"the function {name or type(value).__name__} has no name by which it is known elsewhere")
    return f"{getattr(value, '__module__', '')}.{name}"
