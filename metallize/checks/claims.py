"""From what a probe printed to claims: the form of a probe's output, and one attribute against its matcher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metallize.checks.collection_matchers import AssertsNothing
from metallize.checks.matchers import Matcher
from metallize.checks.values import Mismatch, Value, words
from metallize.model.kind import Claim, Observation, lines_of, whole_number

CONTENTS = "--contents--"
"""The line after which a probe prints something as it is, to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A value that the probe could not see, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a resource: what is expected of it, if anything, and what it is."""

    name: str
    expected: Matcher | None
    actual: Value | Unseen
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A probe's output: `name value` lines, then perhaps a block of raw text."""

    values: dict[str, str]
    contents: str | None
    trouble: str
    twofold: frozenset[str] = frozenset()
    """Fields of which two things were said: a value with a line break in it, say, that looks like another field."""

    def text(self, name: str) -> str | Unseen:
        """A field's value, or why there is none."""
        if name in self.twofold:
            return Unseen(reason=f"the probe said two things of its {name}")
        return self.values[name] if name in self.values else Unseen(reason=self.trouble)

    def number(self, name: str) -> int | Unseen:
        """A field's value as a whole number."""
        value = self.text(name)
        number = whole_number(value) if isinstance(value, str) else None
        return Unseen(reason=self.trouble) if number is None else number

    def truth(self, name: str) -> bool | Unseen:
        """A field's `yes` or `no`."""
        known = {"yes": True, "no": False}
        value = self.text(name)
        if isinstance(value, Unseen):
            return value
        return known[value] if value in known else Unseen(reason=value or self.trouble)


def read_fields(observation: Observation) -> Fields:
    """What a probe of this package printed."""
    head, mark, contents = f"\n{observation.stdout}".partition(f"\n{CONTENTS}\n")
    values: dict[str, str] = {}
    twofold = set()
    for line in lines_of(head):
        name, _, value = line.partition(" ")
        if name and values.setdefault(name, value) != value:
            twofold.add(name)
    trouble = observation.stderr.strip() or f"the probe said nothing of it (status {observation.status})"
    return Fields(
        values=values, contents=contents if mark else None, trouble=trouble[-300:], twofold=frozenset(twofold)
    )


def judged(attribute: Attribute) -> Claim | None:
    """The claim that an attribute makes, or None where nothing is expected of it."""
    expected, actual = attribute.expected, attribute.actual
    if expected is None:
        return None
    if isinstance(expected, AssertsNothing):
        note = "an empty list asserts nothing"
        return Claim(attribute=attribute.name, expected=str(expected), actual="", holds=True, note=note, skipped=True)
    if isinstance(actual, Unseen):
        return Claim(
            attribute=attribute.name,
            expected=str(expected),
            actual="not seen",
            holds=False,
            note=_joined(actual.reason, attribute.note),
            unseen=True,
        )
    try:
        holds = expected.holds(actual)
        note = "" if holds else _joined(expected.explain(actual), attribute.note)
    except Mismatch as exc:
        holds, note = False, _joined(str(exc), attribute.note)
    return Claim(attribute=attribute.name, expected=str(expected), actual=words(actual), holds=holds, note=note)


def judge_all(attributes: Sequence[Attribute]) -> Iterator[Claim]:
    """The claims of attributes that do not depend on each other."""
    for attribute in attributes:
        if (claim := judged(attribute)) is not None:
            yield claim


def judge_existing(first: Attribute, rest: Sequence[Attribute]) -> Iterator[Claim]:
    """The claim of existence, then the others: skipped, as in goss, unless the resource is there and should be."""
    head = judged(first)
    if head is not None:
        yield head
    absent = first.actual is False or (head is not None and not head.holds)
    for attribute in rest:
        if absent and attribute.expected is not None:
            yield Claim(
                attribute=attribute.name,
                expected=str(attribute.expected),
                actual="",
                holds=True,
                note=f"not looked at: {first.name} is not as it should be"
                if head and not head.holds
                else "it is not there",
                skipped=True,
            )
        elif not absent and (claim := judged(attribute)) is not None:
            yield claim


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
