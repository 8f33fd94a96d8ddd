"""Semantic versions and the ranges of goss's semver-constraint.

Sources: semver.org 2.0.0 (precedence), and the range syntax of github.com/blang/semver, which goss uses:
`>1.0.0 <2.0.0 !=1.5.0 || >=3.x`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9]\d*)"
_LONGEST = 256
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII)
_COMPARISON = re.compile(r"^\s*(?:(==|=|!=|!|>=|<=|>|<)\s*)?([0-9xX*][0-9A-Za-z.+*-]*+)(?=\s|$)")
_WILDCARD = re.compile(rf"({_NUMBER})(?:\.({_NUMBER}))?\.[xX*](?:\.[xX*])?", re.ASCII)

Release = tuple[int, int, int]
Rank = tuple[Release, bool, tuple[tuple[bool, int, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version; `rank` orders it."""

    release: Release
    pre: tuple[str, ...] = ()

    @property
    def rank(self) -> Rank:
        """semver.org, item 11: a pre-release comes before its release; numbers before words, words in ASCII."""
        parts = tuple((False, int(p), "") if p.isdigit() else (True, 0, p) for p in self.pre)
        return self.release, not self.pre, parts


def parse_version(text: str) -> Version | None:
    """A version, or None for text that is none."""
    match = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    pre = tuple(match[4].split(".")) if match[4] else ()
    return None if "" in pre else Version(release=(int(match[1]), int(match[2]), int(match[3])), pre=pre)


def parse_constraint(text: str) -> Callable[[Version], bool]:
    """A test for versions; raises ValueError for text that is no range."""
    choices = [_all_of(part, text) for part in text.split("||")]
    return lambda version: any(choice(version) for choice in choices)


def _all_of(part: str, whole: str) -> Callable[[Version], bool]:
    tests: list[Callable[[Version], bool]] = []
    rest = part
    while rest.strip():
        match = _COMPARISON.match(rest)
        if match is None:
            raise ValueError(f"`{whole}` is no range of versions, like `>1.0.0 <2.0.0 || >=3.0.0`")
        tests.append(_comparison(match[1] or "=", match[2], whole))
        rest = rest[match.end() :]
    if not tests:
        raise ValueError(f"`{whole}` is no range of versions: a part of it is empty")
    return lambda version: all(test(version) for test in tests)


def _comparison(operator: str, text: str, whole: str) -> Callable[[Version], bool]:
    exact = parse_version(text)
    if exact is not None:
        return _exact(operator, exact.rank)
    wildcard = _WILDCARD.fullmatch(text)
    if wildcard is None:
        raise ValueError(f"`{whole}` is no range of versions: `{text}` is no version like 1.2.3")
    major, minor = int(wildcard[1]), wildcard[2]
    low = Version(release=(major, int(minor or 0), 0)).rank
    high = Version(release=(major, int(minor) + 1, 0) if minor else (major + 1, 0, 0)).rank
    tests: dict[str, Callable[[Version], bool]] = {
        ">": lambda version: version.rank >= high,
        ">=": lambda version: version.rank >= low,
        "<": lambda version: version.rank < low,
        "<=": lambda version: version.rank < high,
        "!": lambda version: not low <= version.rank < high,
        "!=": lambda version: not low <= version.rank < high,
    }
    return tests.get(operator, lambda version: low <= version.rank < high)


def _exact(operator: str, rank: Rank) -> Callable[[Version], bool]:
    tests: dict[str, Callable[[Version], bool]] = {
        ">": lambda version: version.rank > rank,
        ">=": lambda version: version.rank >= rank,
        "<": lambda version: version.rank < rank,
        "<=": lambda version: version.rank <= rank,
        "!": lambda version: version.rank != rank,
        "!=": lambda version: version.rank != rank,
    }
    return tests.get(operator, lambda version: version.rank == rank)
