"""From pydantic's errors to Problems: each with its place, the value that was written, and what to do about it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from metallize.config.reading.places import Places, attributes, resembles
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Mapping, Node, Plain, Scalar, Sequence, find, kind_of, plain, printable, shown
from metallize.config.reading.words import control_character
from metallize.errors import Location, Problem
from metallize.model.loaded import KeyPath

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(slots=True)
class Findings:
    """Problems as they are found."""

    problems: list[Problem] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    """Where keys belong that stand where nothing takes them."""

    def add(self, location: Location, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(location=location, message=message, hint=hint))

    def unknown(self, location: Location, key: str, known: Iterable[str], what: str = "key") -> None:
        """Say that nothing takes this key here, and what was meant: a key of this section, or one of another."""
        known = tuple(known)
        elsewhere = None if resembles(key, known) else self.places.hint(key)
        self.add(location, f"unknown {what} `{printable(key)[:60]}`", elsewhere or did_you_mean(key, known))

    def at(self, location: Location) -> bool:
        """Whether something is already said of this place."""
        return any(item.location == location for item in self.problems)

    def sorted(self) -> tuple[Problem, ...]:
        """All of them by place, each once and on one line."""
        unique = {
            (str(item.location), item.message): Problem(
                location=item.location,
                message=printable(item.message),
                hint=printable(item.hint) if item.hint else None,
            )
            for item in self.problems
        }
        return tuple(
            sorted(
                unique.values(),
                key=lambda item: (str(item.location.path), item.location.line, item.location.column),
            )
        )


def decode(
    model: type[ModelT],
    node: Node,
    findings: Findings,
    *,
    place: Location | None = None,
    context: dict[str, object] | None = None,
    also: tuple[str, ...] = (),
    truth_as_text: bool = False,
) -> ModelT | None:
    """The model's value, or None after reporting everything that pydantic finds wrong.

    Where text is wanted and a number was written, its text is taken; with `truth_as_text` that of true and false
    too. `place` is that of the node's key, for what is missing in it, and `also` are keys that the section has
    beside the model's.
    """
    data = plain(node)
    for _attempt in range(3):
        try:
            return model.model_validate(data, context=context)
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
            if not any(_patched(data, node, error, truth_as_text=truth_as_text) for error in errors):
                for error in errors:
                    _report(model, node, error, findings, place or node.location, also)
                return None
    return None


def _patched(data: Plain, node: Node, error: ErrorDetails, *, truth_as_text: bool) -> bool:
    """Put a number's text in its place where text is wanted; true when something changed."""
    if error["type"] != "string_type" or not error["loc"]:
        return False
    *parents, last = _path(error["loc"], node)
    found, _ = find(node, (*parents, last))
    if not isinstance(found, Scalar) or isinstance(found.value, str | None):
        return False
    if isinstance(found.value, bool) and not found.verbatim and not truth_as_text:
        return False
    holder: Any = data
    for step in parents:
        holder = holder[step]
    if holder[last] == found.text:
        return False
    holder[last] = found.text
    return True


def _path(loc: Iterable[str | int], node: Node) -> KeyPath:
    """The part of pydantic's location that is in the tree: union members and [key] marks are not."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(node, Mapping):
            entry = node.get(str(step))
            if entry is None:
                continue
            node = entry.value
            path.append(str(step))
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            path.append(step)
    return tuple(path)


def _report(
    model: type[BaseModel],
    node: Node,
    error: ErrorDetails,
    findings: Findings,
    start: Location,
    also: tuple[str, ...],
) -> None:
    path = _path(error["loc"], node)
    found, key_place = find(node, path) if path else (node, start)
    place = found.location if isinstance(found, Scalar | Sequence) else key_place
    name = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "extra_forbidden" if findings.at(key_place):
            pass  # it is said where it belongs
        case "extra_forbidden":
            known = _keys(_model_at(model, error["loc"][:-1]))
            if len(error["loc"]) == 1:
                known += [*also]
            findings.unknown(key_place, name, known)
        case "missing":
            findings.add(key_place, f"the key `{name}` is missing")
        case "several":
            for inner, message, hint, at_key in error["ctx"]["problems"]:
                inner_found, inner_key = find(found, inner)
                at = inner_key if at_key else inner_found.location
                findings.add(at, message, hint)
        case _ if not findings.at(place):
            message, hint = _words(error, found)
            label = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
            findings.add(place, f"`{label}`: {message}" if label else message, hint)
        case _:
            pass  # a closer check has already said what is wrong with this value


_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}


def _words(error: ErrorDetails, found: Node) -> tuple[str, str | None]:
    """The message and the usual hint of one pydantic error."""
    kind = error["type"]
    value = shown(found)
    context = error.get("ctx", {})
    if kind in _WANTED:
        return f"{_WANTED[kind]} is wanted here, not {kind_of(found)}: `{value}`", _type_hint(kind, found)
    if kind == "enum":
        choices = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
        return f"`{value}` is not one of {', '.join(choices)}", did_you_mean(value, choices)
    if kind in {"value_error", "assertion_error"}:
        return f"{context['error']}, not `{value}`", None
    if kind == "string_pattern_mismatch" and isinstance(found, Scalar):
        if (control := control_character(found.text)) is not None:
            return f"it holds {control}: `{value}`", None
        return f"`{value}` does not have the form {context['pattern']}", None
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not `{value}`", None


def _type_hint(kind: str, found: Node) -> str | None:
    if isinstance(found, Scalar) and kind == "string_type" and isinstance(found.value, bool):
        return f'YAML reads it as {str(found.value).lower()}; write "{found.text}" for the text'
    if isinstance(found, Scalar) and kind == "string_type" and found.value is None:
        return 'write "" for empty text'
    if kind in {"tuple_type", "list_type"} and isinstance(found, Scalar):
        return f"write [{shown(found)}]"
    if kind.startswith("bool"):
        return "write true or false"
    return None


def _keys(model: type[BaseModel] | None) -> list[str]:
    if model is None:
        return []
    return list(attributes(model))


def _model_at(model: type[BaseModel], loc: Iterable[str | int]) -> type[BaseModel] | None:
    """The model that stands at a location, found through the annotations."""
    current: Any = model
    for step in loc:
        current = _unwrapped(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            info = next((info for name, info in current.model_fields.items() if step in {name, info.alias}), None)
            if info is None:
                return None
            current = info.annotation
        elif typing.get_origin(current) in {dict, tuple, list}:
            arguments = typing.get_args(current)
            current = arguments[1] if typing.get_origin(current) is dict else arguments[0]
    current = _unwrapped(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _unwrapped(annotation: Any) -> Any:
    """An annotation without Annotated and without `| None`."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in {typing.Union, types.UnionType}:
            members = [item for item in typing.get_args(annotation) if item is not type(None)]
            if len(members) != 1:
                return annotation
            annotation = members[0]
        else:
            return annotation
