"""From the YAML of an attribute to its matcher, with every mistake at its place.

A mistake is raised as a pydantic error of the type `several`, whose context lists (path, message, hint, at_key):
the reading of profiles turns each into a problem with file, line and column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from metallize.checks.collection_matchers import (
    AssertsNothing,
    Elements,
    Gjson,
    HaveKey,
    HaveKeyWithValue,
    HaveLen,
    Patterns,
    SemverConstraint,
)
from metallize.checks.gjson import parse_path
from metallize.checks.matchers import (
    And,
    Compare,
    Equal,
    EqualBool,
    EqualNumber,
    EqualText,
    Matcher,
    MatchRegexp,
    Not,
    Or,
    Text,
)
from metallize.checks.semver import parse_constraint
from metallize.checks.typed import MODE, NUMBER, TEXT, TRUTH, Typed, is_finite
from metallize.config.reading.suggest import did_you_mean
from metallize.model.go_regex import compile_go_regex
from metallize.model.pattern import LinePattern, parse_line_pattern
from metallize.model.written import written

Path = tuple[str | int, ...]
_NESTING = 30


class _Mistake(Exception):  # noqa: N818 - it carries a message out of a recursion and never leaves this module
    def __init__(self, message: str, hint: str | None = None, path: Path = (), *, at_key: bool = False) -> None:
        super().__init__(message)
        self.at_key = at_key
        self.message = message
        self.hint = hint
        self.path = path


class _Decoder:
    """Decodes one attribute's matcher and collects the mistakes in it."""

    def __init__(self) -> None:
        self.mistakes: list[tuple[Path, str, str | None, bool]] = []

    def matcher(self, raw: object, path: Path = ()) -> Matcher:
        """The matcher; in place of a wrong one stands AssertsNothing, which never leaves this module."""
        try:
            return self._matcher(raw, path)
        except (_Mistake, ValueError) as exc:
            inner = exc if isinstance(exc, _Mistake) else _Mistake(str(exc))
            self.mistakes.append(((*path, *inner.path), inner.message, inner.hint, inner.at_key))
            return AssertsNothing()

    def _matcher(self, raw: object, path: Path) -> Matcher:
        if len(path) > _NESTING:
            raise _Mistake("matchers are nested too deeply")
        match raw:
            case bool():
                return EqualBool(raw)
            case int() | float():
                return EqualNumber(raw, written(raw))
            case str():
                return EqualText(raw)
            case list():
                return Elements("contains", self._each(raw, path), split=False)
            case dict():
                return self._named(raw, path)
            case _:
                raise _Mistake("there is nothing to compare with", 'write "" for empty text')

    def _each(self, raw: object, path: Path) -> tuple[Matcher, ...]:
        if not isinstance(raw, list):
            parts = ", ".join(f"{name}: ..." for name in raw) if isinstance(raw, dict) else "..."
            raise _Mistake(f"a list is wanted here, not `{raw}`", f"write [{parts}]")
        if not raw:
            raise _Mistake("an empty list asserts nothing", "leave it out, or name what is expected")
        return tuple(self.matcher(item, (*path, index)) for index, item in enumerate(raw))

    def _named(self, raw: dict[str, Any], path: Path) -> Matcher:
        if len(raw) != 1:
            names = ", ".join(raw)
            raise _Mistake(
                f"one matcher is wanted here, not {len(raw)}" + (f": {names}" if names else ""),
                "join several with `and: [...]`" if raw else "name what is expected",
            )
        name, value = next(iter(raw.items()))
        decode = MATCHERS.get(name)
        if decode is None:
            if name == "xml":
                hint = "run xmllint --xpath in a `command`, and match what it prints"
                raise _Mistake("goss's `xml` matcher is not supported", hint, (name,), at_key=True)
            raise _Mistake(f"unknown matcher `{name}`", did_you_mean(name, MATCHERS), (name,), at_key=True)
        try:
            return decode(self, value, (*path, name))
        except ValueError as exc:
            raise _Mistake(f"`{name}`: {exc}", path=(name,)) from exc
        except _Mistake as exc:
            raise _Mistake(f"`{name}`: {exc.message}", exc.hint, (name, *exc.path), at_key=exc.at_key) from exc

    def patterns(self, raw: list[Any], path: Path = ()) -> Patterns:
        """A list of line patterns."""
        found: list[LinePattern] = []
        for index, item in enumerate(raw):
            try:
                found.append(parse_line_pattern(text_of(item)))
            except (_Mistake, ValueError) as exc:
                hint = exc.hint if isinstance(exc, _Mistake) else None
                self.mistakes.append(((*path, index), str(exc), hint, False))
        return Patterns(tuple(found))

    def finish(self, matcher: Matcher) -> Matcher:
        """The matcher, or all mistakes as one pydantic error."""
        if self.mistakes:
            raise PydanticCustomError("several", "the matcher is wrong", {"problems": tuple(self.mistakes)})
        return matcher


def text_of(raw: object) -> str:
    """Text, or the text of a number; raises for what YAML reads as something else."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return written(raw)
    if isinstance(raw, bool):
        raise _Mistake(f"text is wanted here, not {str(raw).lower()}", "put it in quotes")
    raise _Mistake("text is wanted here" + ("" if raw is None else f", not `{raw}`"))


def _number_of(raw: object) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and is_finite(raw):
        return raw
    raise _Mistake(f"a number is wanted here, not `{raw}`")


def _length(raw: object) -> int:
    number = _number_of(raw)
    if number < 0 or number != int(number):
        raise _Mistake(f"a length is a whole number from 0 on, not `{raw}`")
    return int(number)


def _element(decoder: _Decoder, raw: object, path: Path) -> Matcher:
    if isinstance(raw, bool | list) or raw is None:
        raise _Mistake(f"a text, a number or a matcher is wanted here, not `{raw}`")
    return Elements("contains", (decoder.matcher(raw, path),), single=True)


def _key_with_value(decoder: _Decoder, raw: object, path: Path) -> Matcher:
    if not isinstance(raw, dict) or not raw:
        raise _Mistake("a mapping of keys to values or matchers is wanted here")
    parts = tuple(HaveKeyWithValue(key, decoder.matcher(inner, (*path, key))) for key, inner in raw.items())
    return parts[0] if len(parts) == 1 else And(parts)


def _gjson(decoder: _Decoder, raw: object, path: Path) -> Matcher:
    if not isinstance(raw, dict) or not raw:
        raise _Mistake("a mapping of gjson paths to matchers is wanted here")
    parts: list[Matcher] = []
    for source, inner in raw.items():
        try:
            parts.append(Gjson(parse_path(source), decoder.matcher(inner, (*path, source))))
        except ValueError as exc:
            decoder.mistakes.append(((*path, source), str(exc), None, True))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _compare(symbol: str) -> Callable[[_Decoder, object, Path], Matcher]:
    return lambda _decoder, raw, _path: Compare(symbol, _number_of(raw), written(_number_of(raw)))


def _text(what: str) -> Callable[[_Decoder, object, Path], Matcher]:
    return lambda _decoder, raw, _path: Text(what, text_of(raw))


MATCHERS: dict[str, Callable[[_Decoder, Any, Path], Matcher]] = {
    "equal": lambda _decoder, raw, _path: Equal(raw),
    "have-prefix": _text("starts with"),
    "have-suffix": _text("ends in"),
    "contain-substring": _text("contains"),
    "match-regexp": lambda _decoder, raw, _path: MatchRegexp(text_of(raw), compile_go_regex(text_of(raw))),
    "contain-element": _element,
    "contain-elements": lambda decoder, raw, path: Elements("contains", decoder._each(raw, path)),  # noqa: SLF001
    "consist-of": lambda decoder, raw, path: Elements("is made of", decoder._each(raw, path), exact=True),  # noqa: SLF001
    "have-len": lambda _decoder, raw, _path: HaveLen(_length(raw)),
    "have-key": lambda decoder, raw, path: HaveKey(decoder.matcher(raw, path)),
    "have-key-with-value": _key_with_value,
    "have-patterns": lambda decoder, raw, path: decoder.patterns(raw if isinstance(raw, list) else [raw], path),
    "gt": _compare(">"),
    "ge": _compare(">="),
    "lt": _compare("<"),
    "le": _compare("<="),
    "semver-constraint": lambda _decoder, raw, _path: SemverConstraint(text_of(raw), parse_constraint(text_of(raw))),
    "gjson": _gjson,
    "not": lambda decoder, raw, path: Not(decoder.matcher(raw, path)),
    "and": lambda decoder, raw, path: And(decoder._each(raw, path)),  # noqa: SLF001
    "or": lambda decoder, raw, path: Or(decoder._each(raw, path)),  # noqa: SLF001
}
"""goss's matchers by their names; a new one is one entry here and one value in `matchers`."""


def _top(raw: object, info: ValidationInfo, decode: Callable[[_Decoder], Matcher]) -> Matcher:
    """Decode one attribute; an empty list passes in a goss file, and is a mistake in a profile."""
    decoder = _Decoder()
    if raw == []:
        if info.context and info.context.get("empty_lists"):
            return AssertsNothing()
        decoder.mistakes.append(((), "an empty list asserts nothing", 'write "" for "it is empty"', False))
        return decoder.finish(AssertsNothing())
    return decoder.finish(decode(decoder))


def decode_value(raw: object, info: ValidationInfo) -> Matcher:
    """One attribute's matcher."""
    return _top(raw, info, lambda decoder: decoder.matcher(raw))


def decode_lines(raw: object, info: ValidationInfo) -> Matcher:
    """One attribute's matcher, where a list is one of line patterns."""
    if isinstance(raw, list):
        return _top(raw, info, lambda decoder: decoder.patterns(raw))
    return decode_value(raw, info)


def decode_typed(kind: Typed) -> Callable[[object, ValidationInfo], Matcher]:
    """One attribute's matcher, whose values are all of one kind."""

    def decode(raw: object, info: ValidationInfo) -> Matcher:
        read, mistakes = kind.read(raw)

        def decoded(decoder: _Decoder) -> Matcher:
            matcher = decoder.matcher(read)
            decoder.mistakes.extend(mistakes)
            return matcher

        return _top(read, info, decoded)

    return decode


def _decode_text_lines(raw: object, info: ValidationInfo) -> Matcher:
    return decode_lines(raw, info) if isinstance(raw, list) else decode_typed(TEXT)(raw, info)


_NAMED_SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"enum": sorted(MATCHERS)},
    "description": "one matcher; join several with and",
}


def value_schema(description: str, *types: str) -> WithJsonSchema:
    plain: list[dict[str, object]] = [{"type": kind} for kind in types]
    return WithJsonSchema({"anyOf": [*plain, _NAMED_SCHEMA], "description": description})


_ANY = ("string", "number", "boolean", "array")
MATCHER_SCHEMA = value_schema("a value, a list, or a matcher", *_ANY)
_TEXTS = ("string", "number", "array")
Expected = Annotated[Matcher, PlainValidator(decode_typed(TEXT)), value_schema("a text, a list, or a matcher", *_TEXTS)]
ExpectedBool = Annotated[Matcher, PlainValidator(decode_typed(TRUTH)), value_schema("true or false", "boolean")]
ExpectedNumber = Annotated[
    Matcher, PlainValidator(decode_typed(NUMBER)), value_schema("a number, or a matcher", "number", "string")
]
ExpectedLines = Annotated[
    Matcher,
    PlainValidator(_decode_text_lines),
    value_schema("a list of patterns: text, !text, /re/, !/re/; or the whole text; or a matcher", *_TEXTS),
]
ExpectedMode = Annotated[
    Matcher, PlainValidator(decode_typed(MODE)), value_schema('a mode, like "0644"', "string", "integer")
]
