"""goss's matchers as frozen values: each says what it expects, and whether a value that was seen is that.

Source: goss docs/gossfile.md (Matchers) and matchers/. A value that cannot be what a matcher needs (text that is
no number, say) is a Mismatch, which no `not` turns into a pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from metallize.checks.gjson import GjsonPath, PathNotFound
from metallize.checks.semver import Version, parse_version
from metallize.checks.values import Mismatch, Value, as_list, as_number, as_text, same, words
from metallize.model.pattern import LinePattern


class Matcher(Protocol):
    """What is expected of one value."""

    def holds(self, actual: Value) -> bool:
        """Whether the value is as expected; raises Mismatch where the question makes no sense."""
        ...

    def explain(self, actual: Value) -> str:
        """What is missing where `holds` is false; empty when expected and actual say it all."""
        ...

    def __str__(self) -> str:
        """What is expected, in words that follow 'expected'."""
        ...


class _Plain:
    """A matcher that has nothing to add to expected and actual."""

    __slots__ = ()

    def explain(self, actual: Value) -> str:  # noqa: ARG002 - the protocol's signature
        return ""


@dataclass(frozen=True, slots=True)
class EqualText(_Plain):
    """The value, as text, is this text."""

    text: str

    def holds(self, actual: Value) -> bool:
        return as_text(actual) == self.text

    def explain(self, actual: Value) -> str:
        if isinstance(actual, str) and actual == f"{self.text}\n":
            return "only the line break at the end differs: end the expected text in \\n, or make it a list"
        return ""

    def __str__(self) -> str:
        return words(self.text)


@dataclass(frozen=True, slots=True)
class EqualNumber(_Plain):
    """The value, as a number, is this number."""

    number: float
    shown: str

    def holds(self, actual: Value) -> bool:
        return as_number(actual) == self.number

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True, slots=True)
class EqualBool(_Plain):
    """The value is this truth."""

    truth: bool

    def holds(self, actual: Value) -> bool:
        return isinstance(actual, bool) and actual is self.truth

    def __str__(self) -> str:
        return "true" if self.truth else "false"


@dataclass(frozen=True, slots=True)
class Equal(_Plain):
    """`equal`: the very value, lists in their order; numbers are equal as numbers."""

    value: Value

    def holds(self, actual: Value) -> bool:
        return same(actual, self.value)

    def __str__(self) -> str:
        return f"exactly {words(self.value)}"


@dataclass(frozen=True, slots=True)
class Text(_Plain):
    """have-prefix, have-suffix, contain-substring: one question to the value as text."""

    what: str
    text: str

    def holds(self, actual: Value) -> bool:
        text = as_text(actual)
        tests = {"starts with": text.startswith, "ends in": text.endswith, "contains": text.__contains__}
        return tests[self.what](self.text)

    def __str__(self) -> str:
        return f"{self.what} {words(self.text)}"


@dataclass(frozen=True, slots=True)
class MatchRegexp(_Plain):
    """match-regexp: the value as text holds a match."""

    source: str
    regex: re.Pattern[str]

    def holds(self, actual: Value) -> bool:
        return self.regex.search(as_text(actual)) is not None

    def __str__(self) -> str:
        return f"matches /{self.source}/"


@dataclass(frozen=True, slots=True)
class Compare(_Plain):
    """gt, ge, lt, le: the value as a number."""

    symbol: str
    number: float
    shown: str

    def holds(self, actual: Value) -> bool:
        value = as_number(actual)
        order = (value > self.number) - (value < self.number)
        return {">": order > 0, ">=": order >= 0, "<": order < 0, "<=": order <= 0}[self.symbol]

    def __str__(self) -> str:
        return f"{self.symbol} {self.shown}"


@dataclass(frozen=True, slots=True)
class Patterns:
    """A list of goss's line patterns: each must be found in some line, or with `!` in none."""

    patterns: tuple[LinePattern, ...]

    def holds(self, actual: Value) -> bool:
        return not self._unmet(actual)

    def explain(self, actual: Value) -> str:
        return "; ".join(
            f"a line holds {words(pattern.source[1:])}" if pattern.inverse else f"no line holds {words(pattern.source)}"
            for pattern in self._unmet(actual)
        )

    def _unmet(self, actual: Value) -> list[LinePattern]:
        text = as_text(actual)
        lines = text.removesuffix("\n").split("\n") if text else []
        lines = [line.removesuffix("\r") for line in lines]
        return [pattern for pattern in self.patterns if not self._met(pattern, lines)]

    @staticmethod
    def _met(pattern: LinePattern, lines: Sequence[str]) -> bool:
        if not pattern.source:
            return True  # goss: an empty pattern holds even where there is no line
        return any(pattern.found_in(line) for line in lines) is not pattern.inverse

    def __str__(self) -> str:
        return f"lines with [{', '.join(words(pattern.source) for pattern in self.patterns)}]"


@dataclass(frozen=True, slots=True)
class AssertsNothing(_Plain):
    """An empty list in a goss file: it always passes, and the report says that it asserts nothing."""

    def holds(self, actual: Value) -> bool:  # noqa: ARG002 - the protocol's signature
        return True

    def __str__(self) -> str:
        return "nothing (an empty list)"


@dataclass(frozen=True, slots=True)
class Elements:
    """contain-element, contain-elements, consist-of: each expected element is met by an element of its own.

    `split` says that text counts as the list of its lines, which the short form `[a, b]` does not grant.
    """

    name: str
    elements: tuple[Matcher, ...]
    exact: bool = False
    split: bool = True

    def holds(self, actual: Value) -> bool:
        items = self._items(actual)
        if self.exact and len(items) != len(self.elements):
            return False
        return not _unpaired(self.elements, items)

    def explain(self, actual: Value) -> str:
        items = self._items(actual)
        missing = _unpaired(self.elements, items)
        parts = [f"missing: {', '.join(str(matcher) for matcher in missing)}"] if missing else []
        if self.exact:
            extra = [item for item in items if not any(_met(matcher, item) for matcher in self.elements)]
            parts += [f"not expected: {words(extra)}"] if extra else []
        return "; ".join(parts)

    def _items(self, actual: Value) -> Sequence[Value]:
        if isinstance(actual, str) and not self.split:
            raise Mismatch(f"{words(actual)} is no list")
        return as_list(actual)

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(str(matcher) for matcher in self.elements)}]"


def _met(matcher: Matcher, item: Value) -> bool:
    try:
        return matcher.holds(item)
    except Mismatch:
        return False


def _unpaired(elements: Sequence[Matcher], items: Sequence[Value]) -> list[Matcher]:
    """The matchers left over by the best pairing of matchers and items (augmenting paths, as gomega does)."""
    fits = [[index for index, item in enumerate(items) if _met(matcher, item)] for matcher in elements]
    owner: dict[int, int] = {}

    def place(matcher: int, seen: set[int]) -> bool:
        for item in fits[matcher]:
            if item in seen:
                continue
            seen.add(item)
            if item not in owner or place(owner[item], seen):
                owner[item] = matcher
                return True
        return False

    return [element for index, element in enumerate(elements) if not place(index, set())]


@dataclass(frozen=True, slots=True)
class HaveLen(_Plain):
    """have-len: the length of text (in bytes), of a list or of a mapping."""

    length: int

    def holds(self, actual: Value) -> bool:
        if isinstance(actual, str):
            return len(actual.encode()) == self.length
        if isinstance(actual, Sequence | Mapping):
            return len(actual) == self.length
        raise Mismatch(f"{words(actual)} has no length")

    def __str__(self) -> str:
        return f"has the length {self.length}"


@dataclass(frozen=True, slots=True)
class HaveKey(_Plain):
    """have-key: a mapping has a key that the matcher accepts."""

    key: Matcher

    def holds(self, actual: Value) -> bool:
        if not isinstance(actual, Mapping):
            raise Mismatch(f"{words(actual)} has no keys")
        return any(_met(self.key, key) for key in actual)

    def __str__(self) -> str:
        return f"has the key {self.key}"


@dataclass(frozen=True, slots=True)
class SemverConstraint(_Plain):
    """semver-constraint: every version is in the range."""

    source: str
    test: Callable[[Version], bool]

    def holds(self, actual: Value) -> bool:
        texts = [actual] if isinstance(actual, str) else as_list(actual)
        versions = [parse_version(text) if isinstance(text, str) else None for text in texts]
        if not versions or None in versions:
            raise Mismatch(f"{words(actual)} is no version like 1.2.3")
        return all(self.test(version) for version in versions if version is not None)

    def __str__(self) -> str:
        return f"a version in the range {self.source}"


@dataclass(frozen=True, slots=True)
class Gjson:
    """gjson: what a path finds in the value, read as JSON, is as the matcher says."""

    path: GjsonPath
    matcher: Matcher

    def holds(self, actual: Value) -> bool:
        return self.matcher.holds(self._found(actual))

    def explain(self, actual: Value) -> str:
        found = self._found(actual)
        return f"{self.path.source} is {words(found)}"

    def _found(self, actual: Value) -> Value:
        if not isinstance(actual, str):
            raise Mismatch(f"{words(actual)} is no text that could be JSON")
        try:
            return self.path.get(json.loads(actual))
        except (ValueError, RecursionError) as exc:
            raise Mismatch(f"it is not JSON: {exc}") from exc
        except PathNotFound as exc:
            raise Mismatch(f"the JSON has nothing at {self.path.source}") from exc

    def __str__(self) -> str:
        return f"{self.path.source}: {self.matcher}"


@dataclass(frozen=True, slots=True)
class Not(_Plain):
    """not: the matcher does not hold."""

    matcher: Matcher

    def holds(self, actual: Value) -> bool:
        return not self.matcher.holds(actual)

    def __str__(self) -> str:
        return f"not ({self.matcher})"


@dataclass(frozen=True, slots=True)
class And:
    """and: all hold."""

    matchers: tuple[Matcher, ...]

    def holds(self, actual: Value) -> bool:
        return all(matcher.holds(actual) for matcher in self.matchers)

    def explain(self, actual: Value) -> str:
        failed = [matcher for matcher in self.matchers if not _met(matcher, actual)]
        return "; ".join(f"not so: {matcher}" for matcher in failed)

    def __str__(self) -> str:
        return " and ".join(str(matcher) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Or(_Plain):
    """or: one holds."""

    matchers: tuple[Matcher, ...]

    def holds(self, actual: Value) -> bool:
        return any(matcher.holds(actual) for matcher in self.matchers)

    def __str__(self) -> str:
        return " or ".join(str(matcher) for matcher in self.matchers)
