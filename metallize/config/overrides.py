"""`--set args.NAME=VALUE`: single values of a profile, replaced before it is checked."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from pathlib import Path

from metallize.config.reading.source import resolve_scalar
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, shown
from metallize.config.reading.validation import Findings
from metallize.config.reading.words import is_secret
from metallize.errors import Location


class _Unsettable(Exception):  # noqa: N818 - it carries a reason out of a recursion and never leaves this module
    pass


def apply_overrides(root: Mapping, overrides: MappingABC[str, str], findings: Findings) -> Mapping:
    """The tree with each override in its place; the location of what it sets names `--set`."""
    for key_path, text in overrides.items():
        told = "..." if is_secret(key_path) else text
        source = Path(f"--set {shown(Scalar(location=root.location, value=None, text=f'{key_path}={told}'))}")
        steps = _steps(key_path)
        if not all(steps):
            place = Location(path=source, line=1, column=1)
            findings.add(place, "a key is missing before `=`", "write --set args.NAME=VALUE")
            continue
        place = Location(path=source, line=1, column=1)
        value = resolve_scalar(text, Location(path=source, line=1, column=len(key_path) + 2))
        try:
            changed = _replaced(root, steps, value, place)
        except _Unsettable as exc:
            findings.add(place, f"`{key_path}`: {exc}", "--set takes single values; write the rest in the profile")
            continue
        if isinstance(changed, Mapping):
            root = changed
    return root


def _steps(key_path: str) -> list[str]:
    """The keys of a path; a build argument's name is all that follows `args.`."""
    first, dot, rest = key_path.partition(".")
    return [first, rest] if first == "args" and dot else key_path.split(".")


def _replaced(node: Node | None, steps: list[str], value: Scalar, place: Location) -> Node:
    """The node with the value at the end of the steps; a missing mapping on the way is made."""
    if not steps:
        if isinstance(node, Mapping | Sequence):
            raise _Unsettable("it is a list or a mapping")
        return value
    step, *rest = steps
    if isinstance(node, Sequence):
        if not step.isdecimal() or int(step) >= len(node.items):
            raise _Unsettable(f"the list has no item `{step}`")
        items = list(node.items)
        items[int(step)] = _replaced(items[int(step)], rest, value, place)
        return Sequence(location=node.location, items=tuple(items))
    if isinstance(node, Scalar) and node.value is not None:
        raise _Unsettable(f"`{shown(node)}` has no keys")
    mapping = node if isinstance(node, Mapping) else Mapping(location=place, entries=())
    old = mapping.get(step)
    new = Entry(key=step, location=place, value=_replaced(old.value if old else None, rest, value, place))
    if old is not None and rest:
        new = Entry(key=step, location=old.location, value=new.value)
    kept = tuple(new if entry.key == step else entry for entry in mapping.entries)
    return Mapping(location=mapping.location, entries=kept if old is not None else (*kept, new))
