"""goss's matchers of lines, lists, mappings, versions and JSON, as frozen values.

Source: goss docs/gossfile.md (Matchers) and matchers/. A value that cannot be what a matcher needs is a Mismatch,
as in `metallize.checks.matchers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from metallize.checks.gjson import GjsonPath, PathNotFound
from metallize.checks.matchers import Matcher, Plain, met
from metallize.checks.semver import Version, parse_version
from metallize.checks.values import Mismatch, Value, as_list, as_text, words
from metallize.model.pattern import LinePattern


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
class AssertsNothing(Plain):
    """An empty list in a goss file: it always passes, and the report says that it asserts nothing."""

    def holds(self, actual: Value) -> bool:  # noqa: ARG002 - the protocol's signature
        return True

    def __str__(self) -> str:
        return "nothing (an empty list)"


@dataclass(frozen=True, slots=True)
class Elements:
    """contain-element, contain-elements, consist-of: each expected element is met by an element of its own.

    `split` says that text counts as the list of its lines, which the short form `[a, b]` does not grant; `single`
    is contain-element, which alone says that it could not look at an element.
    """

    name: str
    elements: tuple[Matcher, ...]
    exact: bool = False
    split: bool = True
    single: bool = False

    def holds(self, actual: Value) -> bool:
        items = self._items(actual)
        if self.single and not any(met(self.elements[0], item) for item in items):
            return any(self.elements[0].holds(item) for item in items)  # raises what none of them can be asked
        if self.exact and len(items) != len(self.elements):
            return False
        return not _unpaired(self.elements, items)

    def explain(self, actual: Value) -> str:
        items = self._items(actual)
        missing = _unpaired(self.elements, items)
        parts = [f"missing: {', '.join(str(matcher) for matcher in missing)}"] if missing else []
        if self.exact:
            extra = [item for item in items if not any(met(matcher, item) for matcher in self.elements)]
            parts += [f"not expected: {words(extra)}"] if extra else []
        return "; ".join(parts)

    def _items(self, actual: Value) -> Sequence[Value]:
        if isinstance(actual, str) and not self.split:
            raise Mismatch(f"{words(actual)} is no list")
        return as_list(actual)

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(str(matcher) for matcher in self.elements)}]"


def _unpaired(elements: Sequence[Matcher], items: Sequence[Value]) -> list[Matcher]:
    """The matchers left over by the best pairing of matchers and items (augmenting paths, as gomega does)."""
    fits = [[index for index, item in enumerate(items) if met(matcher, item)] for matcher in elements]
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
class HaveLen(Plain):
    """have-len: the length of text (in bytes), of a list or of a mapping."""

    length: int

    def holds(self, actual: Value) -> bool:
        if isinstance(actual, str):
            return len(actual.encode(errors="surrogatepass")) == self.length
        if isinstance(actual, Sequence | Mapping):
            return len(actual) == self.length
        raise Mismatch(f"{words(actual)} has no length")

    def __str__(self) -> str:
        return f"has the length {self.length}"


@dataclass(frozen=True, slots=True)
class HaveKey(Plain):
    """have-key: a mapping has a key that the matcher accepts."""

    key: Matcher

    def holds(self, actual: Value) -> bool:
        if not isinstance(actual, Mapping):
            raise Mismatch(f"{words(actual)} has no keys")
        return any(self.key.holds(key) for key in actual)

    def __str__(self) -> str:
        return f"has the key {self.key}"


@dataclass(frozen=True, slots=True)
class HaveKeyWithValue(Plain):
    """have-key-with-value: a mapping has this key, and its value is as the matcher says (goss 0.3's, kept)."""

    key: str
    matcher: Matcher

    def holds(self, actual: Value) -> bool:
        if not isinstance(actual, Mapping):
            raise Mismatch(f"{words(actual)} has no keys")
        return self.key in actual and self.matcher.holds(actual[self.key])

    def __str__(self) -> str:
        return f"has the key {words(self.key)} with {self.matcher}"


@dataclass(frozen=True, slots=True)
class SemverConstraint(Plain):
    """semver-constraint: every version is in the range."""

    source: str
    test: Callable[[Version], bool] = field(compare=False, repr=False)
    """What the source says, as a function: two of one source are equal."""

    def holds(self, actual: Value) -> bool:
        texts = [actual] if isinstance(actual, str) else as_list(actual)
        versions = [parse_version(text) if isinstance(text, str) else None for text in texts]
        if not versions or None in versions:
            raise Mismatch(f"{words(actual)} is no version like 1.2.3")
        return all(self.test(version) for version in versions if version is not None)

    def __str__(self) -> str:
        return f"a version in the range {self.source}"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it holds {name} (RFC 8259 has none)")


def _once(pairs: Sequence[tuple[str, Value]]) -> dict[str, Value]:
    """Of a key that comes twice gjson takes the first value, and others the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice")
    return found


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
            return self.path.get(json.loads(actual, parse_constant=_refuse, object_pairs_hook=_once))
        except (ValueError, RecursionError) as exc:
            raise Mismatch(f"it is not JSON: {exc}") from exc
        except PathNotFound as exc:
            raise Mismatch(f"the JSON has nothing at {self.path.source}") from exc

    def __str__(self) -> str:
        return f"{self.path.source}: {self.matcher}"
