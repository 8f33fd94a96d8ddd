"""Text that is made to cost a regular expression much: what it repeats, with no end that it takes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from re import _constants as codes  # type: ignore[attr-defined]  # how re itself reads an expression
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONG, SHORT = 16_384, 4_096
TOO_LONG = 8.0
"""So many times longer for four times the text is more than linear on any host."""
GROWING = (*range(24, 257, 8), 512, 1024, 2048)
"""Each longer than the last, so that an exponential or cubic expression is found out before it takes for ever."""
ENDLESS_SECONDS = 0.1
"""Nothing that is linear, or quadratic, takes so long for the longest of GROWING."""
QUICK_SECONDS = 0.004
"""In so short a time nothing was quadratic in 16 KB."""
WAYS, MOST_WAYS = 12, 60
"""Of a list of a hundred phrases one is as good as the next, and by day a few are."""
_FILLERS = (" ", "a", "0", "[", "/", "a ", ": ", "[    1.234567] ")
_CATEGORY = {codes.CATEGORY_DIGIT: "0", codes.CATEGORY_SPACE: " ", codes.CATEGORY_NOT_WORD: " "}


def attacks(pattern: str, size: int, most: int = MOST_WAYS) -> Iterator[str]:
    """Single lines: the way to each repetition of the pattern, then what fills it, or that way again and again."""
    ways: list[tuple[str, str]] = [("", "")]
    _walk(parser.parse(pattern), "", ways)
    words = [f"{word}{sep}" for word in re.findall(r"[A-Za-z]{3,}", pattern)[:8] for sep in ("", " ")]
    known = list(dict.fromkeys(ways))
    for way, body in known[:: len(known) // most + 1]:
        for filler in dict.fromkeys((body, way, *_FILLERS, *words)):
            if filler:
                yield (way + filler * (size // len(filler) + 1))[:size] + "\0"
            if way and filler != way:
                yield ((way + filler) * (size // len(way + filler) + 1))[:size] + "\0"


def slowest(pattern: re.Pattern[str], most: int = MOST_WAYS) -> tuple[float, str]:
    """How much longer four times the text takes at the worst, or where it takes too long, and that text's beginning."""
    for size in GROWING:
        for text in attacks(pattern.pattern, size, most):
            if _seconds(pattern, text) > ENDLESS_SECONDS:
                return (math.inf, text[:80])
    worst = (0.0, "")
    short = list(attacks(pattern.pattern, SHORT, most))
    usual = min(_seconds(pattern, "x" * LONG) for _ in range(3))
    for number, text in enumerate(attacks(pattern.pattern, LONG, most)):
        if _seconds(pattern, text) < QUICK_SECONDS + 3 * usual:
            continue
        ratio = min(_seconds(pattern, text) / max(_seconds(pattern, short[number]), 1e-6) for _ in range(3))
        worst = max(worst, (ratio, text[:80]))
        if ratio >= TOO_LONG:
            break
    return worst


def _seconds(pattern: re.Pattern[str], text: str) -> float:
    begun = time.process_time()
    pattern.search(text)
    return time.process_time() - begun


def _walk(items: Sequence[Any], way: str, ways: list[tuple[str, str]]) -> None:
    for code, value in items:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            ways.append((way, _sample(value[2])))
            _walk(value[2], way, ways)
            ways.append((way, _sample(value[2]) * 2))
        elif code is codes.SUBPATTERN:
            _walk(value[3], way, ways)
        elif code is codes.ATOMIC_GROUP:
            _walk(value, way, ways)
        elif code is codes.BRANCH:
            for branch in value[1]:
                _walk(branch, way, ways)
                ways.append((way + _sample(branch), ""))
        way += _sample([(code, value)])


def _sample(items: Sequence[Any]) -> str:
    return "".join(_one(code, value) for code, value in items)


def _one(code: Any, value: Any) -> str:
    found = ""
    match code:
        case codes.LITERAL:
            found = chr(int(value))
        case codes.ANY | codes.NOT_LITERAL:
            found = "a"
        case codes.IN:
            found = _of_class(value)
        case codes.MAX_REPEAT | codes.MIN_REPEAT | codes.POSSESSIVE_REPEAT:
            found = _sample(value[2]) * max(int(value[0]), 1)
        case codes.SUBPATTERN:
            found = _sample(value[3])
        case codes.ATOMIC_GROUP:
            found = _sample(value)
        case codes.BRANCH:
            found = _sample(value[1][0])
    return found


def _of_class(members: Sequence[Any]) -> str:
    for char in " a0[A:-(/$*\t":
        if _is_member(members, char):
            return char
    return "~"


def _is_member(members: Sequence[Any], char: str) -> bool:
    negated = members[0][0] is codes.NEGATE
    found = False
    for code, value in members[negated:]:
        if code is codes.LITERAL:
            found |= char == chr(value)
        elif code is codes.RANGE:
            found |= value[0] <= ord(char) <= value[1]
        elif code is codes.CATEGORY:
            found |= _in_category(value, char)
    return found is not negated


def _in_category(category: Any, char: str) -> bool:
    tests = {
        codes.CATEGORY_DIGIT: char.isdigit(),
        codes.CATEGORY_NOT_DIGIT: not char.isdigit(),
        codes.CATEGORY_SPACE: char.isspace(),
        codes.CATEGORY_NOT_SPACE: not char.isspace(),
        codes.CATEGORY_WORD: char.isalnum() or char == "_",
        codes.CATEGORY_NOT_WORD: not (char.isalnum() or char == "_"),
    }
    return bool(tests[category])
