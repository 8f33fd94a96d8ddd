"""A YAML file as a tree of values that know their place; what is wrong with the file itself is a Problem.

SafeLoader's meaning, less its surprises: a key is the text that was written (`on:` is "on", `8080:` is "8080"),
a number keeps its text (`1.10`, `0644`), a date or 22:22 is text. Duplicate keys are problems; anchors, aliases
and merge keys work, and how much they may expand to is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from metallize.errors import Location
from metallize.model.loaded import KeyPath
from metallize.model.written import WrittenFloat, WrittenInt

ScalarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value: what YAML makes of it, and the text that was written."""

    location: Location
    value: ScalarValue
    text: str
    verbatim: bool = False
    """It was given on the command line: its text is meant where text is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    location: Location
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a mapping, with the key's own place."""

    key: str
    location: Location
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    location: Location
    entries: tuple[Entry, ...]

    def get(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)


Node = Union[Scalar, Sequence, Mapping]  # noqa: UP007 - the names are not all defined where the classes use it
Plain = ScalarValue | list["Plain"] | dict[str, "Plain"]


def plain(node: Node) -> Plain:
    """The tree without its places, as pydantic reads it; a number keeps its text."""
    match node:
        case Scalar(value=bool()):
            return node.value
        case Scalar(value=int() as number):
            return WrittenInt(number, node.text)
        case Scalar(value=float() as number):
            return WrittenFloat(number, node.text)
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {entry.key: plain(entry.value) for entry in node.entries}


def printable(text: str) -> str:
    """Text on one line, with what a terminal would act on written as an escape."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def shown(node: Node, limit: int = 60) -> str:
    """A value as a message shows it: on one line, cut where it is long."""
    match node:
        case Scalar():
            text = printable(node.text)
        case Sequence():
            text = f"[{', '.join(shown(item, limit) for item in node.items[:8])}]"
        case Mapping():
            text = f"{{{', '.join(f'{entry.key}: {shown(entry.value, limit)}' for entry in node.entries[:8])}}}"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def kind_of(node: Node) -> str:
    """What a node is, in a person's words."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=int() | float()):
            return "a number"
        case Scalar():
            return "text"


def find(node: Node, path: KeyPath) -> tuple[Node, Location]:
    """The deepest node that exists on this path, and the place of its key (or of itself)."""
    location = node.location
    for step in path:
        if isinstance(node, Mapping) and (entry := node.get(str(step))) is not None:
            node, location = entry.value, entry.location
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
            location = node.location
        else:
            break
    return node, location


def locations(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Location]]:
    """The place of every key path: a value's own, or for a list or mapping that of its key."""
    match node:
        case Mapping():
            for entry in node.entries:
                place = entry.value.location if isinstance(entry.value, Scalar) else entry.location
                yield (*path, entry.key), place
                yield from locations(entry.value, (*path, entry.key))
        case Sequence():
            for index, item in enumerate(node.items):
                yield (*path, index), item.location
                yield from locations(item, (*path, index))
        case Scalar():
            return
