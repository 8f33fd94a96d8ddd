"""Where a key of a profile belongs: every key that the models know, with the sections that take it.

A key that is right but stands at the wrong depth (`memory` beside `boot`, a generator's option in `output`) is told its
place by `Places.hint`.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel

from metallize.model.boot import Boot
from metallize.model.profile import Base, Output, Settings
from metallize.model.rules import ReleaseRules

SECTIONS: Mapping[str, type[BaseModel]] = {
    "base": Base,
    "output": Output,
    "boot": Boot,
    "release": ReleaseRules,
    "metallize": Settings,
}
_BESIDE_THE_MODELS = (("platform", ""), ("images", ""), ("args", ""), ("outputs", ""), ("extends", ""))
_ASSERTED = ("assert", "groups")
"""Keys of `boot` that its model does not keep."""
_FREE = ("meta", "title", "name", "run")
"""Words that stand in too many places for a place to mean anything."""
_MOST_NAMED = 3
_STRONG = 0.8
"""From this likeness on (difflib's ratio), a key is the misspelt one of its own section and not one of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """For each key the sections that take it, the shallowest first: {"memory": ("boot", "boot.machines.NAME")}."""

    sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hint(self, key: str) -> str | None:
        """Where this very key belongs, or None where nothing takes it."""
        found = self.sections.get(key, ())
        if not found:
            return None
        depth = min(_depth(section) for section in found)
        named = [f"in `{each}`" if each else "at the top" for each in found if _depth(each) == depth]
        return f"it belongs {' or '.join(named[:_MOST_NAMED])}"

    def with_more(self, keys: Iterable[str], section: str) -> Places:
        """The same, with keys that a section takes besides, before those of the models that are as deep."""
        sections = dict(self.sections)
        for key in keys:
            sections[key] = (section, *(each for each in sections.get(key, ()) if each != section))
        return Places(sections=sections)


def resembles(key: str, known: Iterable[str]) -> bool:
    """Whether a key is that of its own section but for a letter or so."""
    lower = key[:200].casefold()
    return any(difflib.SequenceMatcher(None, lower, each.casefold()).ratio() >= _STRONG for each in known)


def attributes(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a model, as they are written."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


@cache
def profile_places() -> Places:
    """The places of the keys of every profile, whatever its generator and its layers take besides."""
    sections: dict[str, list[str]] = {}
    found = [*_BESIDE_THE_MODELS, *((name, "") for name in SECTIONS), *((name, "boot") for name in _ASSERTED)]
    for name, model in SECTIONS.items():
        found += _keys(model, name)
    for key, section in found:
        if key not in _FREE and section not in sections.setdefault(key, []):
            sections[key].append(section)
    return Places(sections={key: tuple(sorted(value, key=_depth)) for key, value in sections.items() if value})


def _depth(section: str) -> int:
    return section.count(".") + bool(section)


def _keys(model: type[BaseModel], section: str, above: tuple[type[BaseModel], ...] = ()) -> Iterator[tuple[str, str]]:
    """Every key below a model, with its section."""
    for key, info in zip(attributes(model), model.model_fields.values(), strict=True):
        yield key, section
        for inner, many in _models(info.annotation):
            if inner not in above:
                yield from _keys(inner, f"{section}.{key}{'.NAME' if many else ''}", (*above, model))


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models in an annotation, each with whether they are the values of a mapping with free keys."""
    origin = typing.get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, False
    elif origin is dict:
        yield from ((model, True) for model, _ in _models(typing.get_args(annotation)[1]))
    elif origin in {typing.Annotated, tuple, list}:
        yield from _models(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _models(member)
