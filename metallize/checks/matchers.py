"""goss's matchers of one value, and how they are joined: each says what it expects, and whether a value is that.

Source: goss docs/gossfile.md (Matchers) and matchers/. A value that cannot be what a matcher needs (text that is
no number, say) is a Mismatch, which no `not` turns into a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from metallize.checks.values import Mismatch, Value, as_number, as_text, same, words
from metallize.model.go_regex import GoRegex


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


class Plain:
    """A matcher that has nothing to add to expected and actual."""

    __slots__ = ()

    def explain(self, actual: Value) -> str:  # noqa: ARG002 - the protocol's signature
        return ""


def met(matcher: Matcher, item: Value) -> bool:
    """Whether a matcher holds; a value that it cannot look at is not met."""
    try:
        return matcher.holds(item)
    except Mismatch:
        return False


@dataclass(frozen=True, slots=True)
class EqualText(Plain):
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
class EqualNumber(Plain):
    """The value, as a number, is this number."""

    number: float
    shown: str

    def holds(self, actual: Value) -> bool:
        return as_number(actual) == self.number

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True, slots=True)
class EqualBool(Plain):
    """The value is this truth."""

    truth: bool

    def holds(self, actual: Value) -> bool:
        return isinstance(actual, bool) and actual is self.truth

    def __str__(self) -> str:
        return "true" if self.truth else "false"


@dataclass(frozen=True, slots=True)
class Equal(Plain):
    """`equal`: the very value, lists in their order; numbers are equal as numbers."""

    value: Value

    def holds(self, actual: Value) -> bool:
        return same(actual, self.value)

    def __str__(self) -> str:
        return f"exactly {words(self.value)}"


@dataclass(frozen=True, slots=True)
class Text(Plain):
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
class MatchRegexp(Plain):
    """match-regexp: the value as text holds a match."""

    source: str
    regex: GoRegex

    def holds(self, actual: Value) -> bool:
        return self.regex.search(as_text(actual)) is not None

    def __str__(self) -> str:
        return f"matches /{self.source}/"


@dataclass(frozen=True, slots=True)
class Compare(Plain):
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
class Not(Plain):
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
        failed = [matcher for matcher in self.matchers if not met(matcher, actual)]
        return "; ".join(f"not so: {matcher}" for matcher in failed)

    def __str__(self) -> str:
        return " and ".join(str(matcher) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Or(Plain):
    """or: one holds."""

    matchers: tuple[Matcher, ...]

    def holds(self, actual: Value) -> bool:
        return any(matcher.holds(actual) for matcher in self.matchers)

    def __str__(self) -> str:
        return " or ".join(str(matcher) for matcher in self.matchers)
