r"""Regular expressions as Go and goss have them: RE2, whose time is linear in the text whatever the expression.

Source: github.com/google/re2/wiki/Syntax. Python's `re` may backtrack for ever inside one call, in which no signal and
no deadline is heard: what a profile names must not meet it. Of RE2's own, what Go's port lacks is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import re2

_SURROGATE = re.compile("[\ud800-\udfff]")
_LACKING = {"(?=": "lookahead", "(?!": "lookahead", "(?<=": "lookbehind", "(?<!": "lookbehind"}
_TOKEN = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\(\?P?<([^<>=!]*)>|.", re.DOTALL)
"""A quoted text, an escape, the name of a group, or one character."""


class Match(Protocol):
    """Where something was found; `re.Match` is one too."""

    def start(self) -> int: ...

    def end(self) -> int: ...

    def groups(self) -> tuple[str | None, ...]: ...

    def __getitem__(self, group: int, /) -> str | None: ...


class Pattern(Protocol):
    """What text is searched with; `re.Pattern` is one too."""

    @property
    def pattern(self) -> str: ...

    def search(self, text: str, start: int = 0, /) -> Match | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A match of a GoRegex; places are characters of the text."""

    text: str = field(repr=False)
    spans: tuple[tuple[int, int], ...]

    def start(self) -> int:
        return self.spans[0][0]

    def end(self) -> int:
        return self.spans[0][1]

    def groups(self) -> tuple[str | None, ...]:
        """What each group caught; None for one that took no part."""
        return tuple(self._group(number) for number in range(1, len(self.spans)))

    def __getitem__(self, group: int, /) -> str:
        return self._group(group) or ""

    def _group(self, number: int) -> str | None:
        start, end = self.spans[number]
        return self.text[start:end] if start >= 0 else None


@dataclass(frozen=True, slots=True)
class GoRegex:
    """A regular expression that is equal to, shown as and stored as what it was written as."""

    pattern: str
    flags: str = ""
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", _compile(self.pattern, self.flags))

    def __reduce__(self) -> tuple[Callable[[str, str], GoRegex], tuple[str, str]]:
        return compile_go_regex, (self.pattern, self.flags)

    def search(self, text: str, start: int = 0, /) -> Found | None:
        r"""The first match that begins at a character, or after it; ^ and \b see what stands before `start`."""
        match = self._compiled.search(_without_surrogates(text), start)
        if match is None:
            return None
        return Found(text, tuple(match.span(number) for number in range(self._compiled.groups + 1)))


def compile_go_regex(source: str, flags: str = "") -> GoRegex:
    r"""Compile a regular expression with Go's meaning; `flags` are the letters after a closing slash.

    `$` without (?m) is the end of the text and never before a last newline; \d \w \s \b are ASCII. Raises ValueError,
    in plain words, for what Go does not take.
    """
    return GoRegex(source, flags)


def literal(text: str) -> GoRegex:
    """The expression that finds this very text."""
    return GoRegex(re2.escape(_without_surrogates(text)))


def _compile(source: str, flags: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    written = _without_surrogates(source)
    try:
        compiled = re2.compile(f"(?{flags}){written}" if flags else written, options)
    except re2.error as exc:
        raise ValueError(f"`{source}` is no regular expression of Go's: {_in_words(source, exc)}") from exc
    names: set[str] = set()
    for token in _TOKEN.finditer(written):
        if token[0] == r"\C":
            raise ValueError(f"`{source}` is no regular expression of Go's: \\C is unknown to it")
        if token[1] in names:
            raise ValueError(f"`{source}` is no regular expression of Go's: two groups have the name {token[1]}")
        names |= {token[1]} - {None}
    return compiled


_WRONG = {
    "bad repetition operator": "{0} repeats nothing, or another repetition",
    "no argument for repetition operator": "{0} repeats nothing, or another repetition",
    "invalid repetition size": "{0} repeats more than 1000 times, or ends before it begins",
    "missing )": "a ( is never closed",
    "unexpected )": "a ) closes nothing",
    "missing ]": "the [ at character {1} is never closed",
    "trailing \\": "it ends in a backslash",
}
"""What RE2 says of an expression, and for a person: {0} is the piece that is wrong, {1} its place."""


def _in_words(source: str, exc: Exception) -> str:
    said = exc.args[0] if exc.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    what, _, piece = text.partition(": ")
    match what:
        case "invalid perl operator":
            at = source.find(piece)
            shown = source[at : at + 4] if at >= 0 else piece
            name = next((name for start, name in _LACKING.items() if shown.startswith(start)), None)
            return f"{shown} is {name}, which it lacks" if name else f"{shown} is unknown to it"
        case "invalid escape sequence":
            return _bad_escape(piece)
        case "invalid character class range":
            named = piece.startswith(("[:", r"\p", r"\P"))
            return f"{piece} names no class of characters" if named else f"{piece} ends before it begins"
        case _:
            return _WRONG.get(what, "{2}").format(piece, source.find(piece) + 1, text)


def _bad_escape(piece: str) -> str:
    if piece[1:2].isdigit():
        return f"{piece} is a backreference, which it lacks"
    if piece.startswith(r"\x"):
        return f"there is no character {piece}"
    hint = r" (\z is the end of the text)" if piece == r"\Z" else ""
    return f"{piece} is unknown to it{hint}"


def _without_surrogates(text: str) -> str:
    """Halves of surrogate pairs are no characters, and have no UTF-8; each becomes U+FFFD, so that places stay."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() else text
