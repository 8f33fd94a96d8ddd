r"""gjson's paths over decoded JSON, as far as goss files use them.

Source: github.com/tidwall/gjson SYNTAX.md: keys, indexes, `*` and `?`, `\.`, `#`, `#.key`, `#(key op value)`,
`#(...)#`, `|`, and the modifiers @this, @keys, @values, @reverse, @flatten and @valid. Other modifiers,
multipaths and literals are refused when the path is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metallize.model.go_regex import GoRegex, compile_go_regex, literal
from metallize.model.kind import whole_number

JsonValue = bool | int | float | str | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


class PathNotFound(LookupError):  # noqa: N818 - it says what happened, as LookupError's own children do
    """The document has nothing at this path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    text: str
    pattern: GoRegex | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Each:
    """`#`: the number of elements at the end of a path, else the rest of the path for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    key: GjsonPath | None
    operator: str
    value: JsonValue
    every: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Modifier:
    name: str


_Step = _Key | _Each | _Query | _Modifier
_NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_MODIFIERS = ("this", "keys", "values", "reverse", "flatten", "valid")


@dataclass(frozen=True, slots=True, kw_only=True)
class GjsonPath:
    """A parsed path; `get` looks it up in a document."""

    source: str
    steps: tuple[_Step, ...]

    def get(self, document: JsonValue) -> JsonValue:
        """What is there; raises PathNotFound."""
        return _walk(document, self.steps, self.source)


def parse_path(source: str) -> GjsonPath:
    """A path as a value; raises ValueError, in plain words, for what is not supported."""
    steps: list[_Step] = []
    rest = source
    while rest:
        step, rest = _step(rest, source)
        steps.append(step)
        if rest and rest[0] not in ".|":
            raise ValueError(f"the gjson path `{source}` lacks a dot before `{rest}`")
        if rest:
            rest = rest[1:]
            if not rest:
                raise ValueError(f"the gjson path `{source}` ends in a dot")
    if not steps:
        raise ValueError("a gjson path is empty")
    return GjsonPath(source=source, steps=tuple(steps))


def _step(rest: str, source: str) -> tuple[_Step, str]:
    if rest.startswith(("{", "[", "!")):
        raise ValueError(f"the gjson path `{source}` uses a multipath or literal, which is not supported")
    if rest.startswith("@"):
        match = re.match(r"@([a-z]+)(?=[.|]|$)", rest)
        if match is None or match[1] not in _MODIFIERS:
            known = ", ".join(f"@{name}" for name in _MODIFIERS)
            raise ValueError(f"the gjson path `{source}` uses a modifier that is not supported; these are: {known}")
        return _Modifier(name=match[1]), rest[match.end() :]
    if rest.startswith("#("):
        return _query(rest, source)
    if re.match(r"#(?=[.|]|$)", rest):
        return _Each(), rest[1:]
    match = re.match(r"(?:\\.|[^.|\\])+", rest, re.DOTALL)
    if match is None:
        raise ValueError(f"the gjson path `{source}` has an empty part")
    text = re.sub(r"\\(.)", r"\1", match[0])
    pattern = None
    if re.search(r"(?<!\\)[*?]", match[0]):
        pattern = _glob(re.findall(r"\\.|[*?]|[^*?\\]+", match[0], re.DOTALL))
    return _Key(text=text, pattern=pattern), rest[match.end() :]


def _query(rest: str, source: str) -> tuple[_Step, str]:
    match = re.match(
        r"""^\#\(([^=!<>%()"]*+)(==|!=|<=|>=|<|>|!%|%|=)\s*+("(?:[^"\\]|\\.)*+"(?=\s*+\))|[^()"]*+)\s*+\)(\#?)""",
        rest,
        re.VERBOSE,
    )
    exists = re.match(r"^#\(([^=!<>%()\"]*[^=!<>%()\"\s]\s*+)\)(#?)", rest)
    if match is None and exists is not None:
        return _Query(key=parse_path(exists[1].strip()), operator="", value=None, every=bool(exists[2])), rest[
            exists.end() :
        ]
    if match is None:
        raise ValueError(f"the gjson path `{source}` has a query that is not supported")
    key = parse_path(match[1].strip()) if match[1].strip() else None
    operator = "==" if match[2] == "=" else match[2]
    return _Query(key=key, operator=operator, value=_literal(match[3].strip()), every=bool(match[4])), rest[
        match.end() :
    ]


def _glob(parts: Sequence[str]) -> GoRegex:
    """What a text with * and ? in it matches from end to end; its other parts stand for themselves."""
    meant = {"*": ".*", "?": "."}
    whole = "".join(meant.get(part) or literal(part.removeprefix("\\")).pattern for part in parts)
    return compile_go_regex(rf"(?s)\A{whole}\z")


def _literal(text: str) -> JsonValue:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    words: dict[str, JsonValue] = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    return float(text) if _NUMBER.fullmatch(text) else text


def _walk(value: JsonValue, steps: tuple[_Step, ...], source: str) -> JsonValue:
    for index, step in enumerate(steps):
        rest = steps[index + 1 :]
        match step:
            case _Key():
                value = _member(value, step, source)
            case _Modifier():
                value = _modified(value, step.name, source)
            case _Each():
                items = _elements(value, source)
                return len(items) if not rest else _of_each(items, rest, source)
            case _Query():
                chosen = [item for item in _elements(value, source) if _chosen(item, step)]
                if step.every:
                    return list(chosen) if not rest else _of_each(chosen, rest, source)
                if not chosen:
                    raise PathNotFound(source)
                value = chosen[0]
    return value


def _of_each(items: Sequence[JsonValue], steps: tuple[_Step, ...], source: str) -> JsonValue:
    found: list[JsonValue] = []
    for item in items:
        try:
            found.append(_walk(item, steps, source))
        except PathNotFound:
            continue
    return found


def _elements(value: JsonValue, source: str) -> Sequence[JsonValue]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise PathNotFound(source)


def _member(value: JsonValue, step: _Key, source: str) -> JsonValue:
    if isinstance(value, Mapping):
        if step.text in value:
            return value[step.text]
        if step.pattern is not None:
            for key, member in value.items():
                if step.pattern.search(key):
                    return member
    elif isinstance(value, Sequence) and not isinstance(value, str):
        number = whole_number(step.text)
        index = number if number is not None and number >= 0 else len(value)
        if index < len(value):
            return value[index]
    raise PathNotFound(source)


def _modified(value: JsonValue, name: str, source: str) -> JsonValue:
    match name:
        case "keys" if isinstance(value, Mapping):
            return list(value)
        case "values" if isinstance(value, Mapping):
            return list(value.values())
        case "reverse" if isinstance(value, Sequence) and not isinstance(value, str):
            return list(reversed(value))
        case "flatten" if isinstance(value, Sequence) and not isinstance(value, str):
            flat: list[JsonValue] = []
            for item in value:
                flat.extend(item if isinstance(item, Sequence) and not isinstance(item, str) else [item])
            return flat
        case "this" | "valid" | "reverse" | "flatten":
            return value
        case _:
            raise PathNotFound(source)


def _chosen(item: JsonValue, query: _Query) -> bool:
    try:
        actual = query.key.get(item) if query.key else item
    except PathNotFound:
        return False
    wanted = query.value
    if query.operator == "":
        return True
    if query.operator in {"%", "!%"}:
        pattern = _glob(re.split(r"([*?])", str(wanted)))
        matches = isinstance(actual, str) and pattern.search(actual) is not None
        return isinstance(actual, str) and matches is (query.operator == "%")
    if query.operator in {"==", "!="}:
        return _same(actual, wanted) is (query.operator == "==")
    return _ordered(actual, query.operator, wanted)


def _ordered(actual: JsonValue, operator: str, wanted: JsonValue) -> bool:
    """Whether two numbers or two texts are in this order; anything else never is."""
    order: int | None = None
    if isinstance(actual, str) and isinstance(wanted, str):
        order = (actual > wanted) - (actual < wanted)
    if isinstance(actual, int | float) and isinstance(wanted, int | float):
        order = (actual > wanted) - (actual < wanted)
    if order is None:
        return False
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator]


def _same(actual: JsonValue, wanted: JsonValue) -> bool:
    return isinstance(actual, bool) == isinstance(wanted, bool) and actual == wanted
