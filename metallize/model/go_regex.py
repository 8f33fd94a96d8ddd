r"""Go's regular expressions in Python's: every construct is translated, or named as one that Go does not have.

Sources: github.com/google/re2/wiki/Syntax and Go's regexp/syntax, whose dialect (RE2) differs from Python's `re` in
the places that this module handles. What stays different is time: RE2 is linear, Python may backtrack.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

Ranges = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF
_DIGITS: Ranges = ((0x30, 0x39),)
_SPACES: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
_LETTERS: Ranges = ((0x41, 0x5A), (0x61, 0x7A))
_WORD: Ranges = (*_DIGITS, *_LETTERS, (0x5F, 0x5F))
_PERL = {"d": _DIGITS, "s": _SPACES, "w": _WORD}
_POSIX: dict[str, Ranges] = {
    "alnum": (*_DIGITS, *_LETTERS),
    "alpha": _LETTERS,
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGITS,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": _WORD,
    "xdigit": (*_DIGITS, (0x41, 0x46), (0x61, 0x66)),
}
_CONTROLS = {"a": 0x07, "f": 0x0C, "t": 0x09, "n": 0x0A, "r": 0x0D, "v": 0x0B}
_NUMBERED = ((r"\\x([0-9A-Fa-f]{2})", 16), (r"\\x\{([0-9A-Fa-f]+)\}", 16), (r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})", 8))
_MAX_REPEAT = 1000
_ONLY_PYTHON = {"(?=": "lookahead", "(?!": "lookahead", "(?<=": "lookbehind", "(?<!": "lookbehind"}


def compile_go_regex(source: str, flags: str = "") -> re.Pattern[str]:
    r"""Compile a regular expression with Go's meaning; `flags` are the letters after a closing slash.

    `$` without (?m) is the end of the text and never before a last newline, \d \w \s \b are ASCII, and
    [[:alpha:]], \pL, \x{263a} and \Q...\E are read. Raises ValueError, in plain words, for what Go does not take
    and for the little that cannot be translated: (?U), \C and the scripts of \p.
    """
    try:
        translated = _Translator(source, flags).translate()
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as exc:
        reason = exc.msg if isinstance(exc, re.error) else "it is too large"
        raise ValueError(f"`{source}` is no regular expression: {reason}") from exc


class _Translator:
    """Reads one expression from left to right; `_open` holds, for each open group, the flags set inside it."""

    def __init__(self, source: str, flags: str) -> None:
        self._source = source
        self._at = 0
        self._out: list[str] = []
        self._open: list[list[str]] = [[]]
        self._multiline = [False]
        self._repeatable = False
        if flags:
            self._set_flags(flags)

    def translate(self) -> str:
        while self._at < len(self._source):
            self._step(self._source[self._at])
        if len(self._open) > 1:
            raise self._wrong("a ( is never closed")
        return "".join(self._out) + ")" * len(self._open[0])

    def _step(self, char: str) -> None:
        match char:
            case "\\":
                self._escape()
            case "[":
                self._emit(self._class())
            case "(":
                self._group()
            case ")":
                self._close()
            case "|":
                inner = self._open[-1]
                self._put(")" * len(inner) + "|" + "".join(f"(?{flags}:" for flags in inner))
            case "*" | "+" | "?" | "{":
                self._repeat()
            case "$":
                self._put("$" if self._multiline[-1] else r"\Z", repeatable=True)
            case "^" | ".":
                self._put(char, repeatable=True)
            case _:
                self._emit(re.escape(char))

    def _put(self, text: str, *, length: int = 1, repeatable: bool = False) -> None:
        self._out.append(text)
        self._at += length
        self._repeatable = repeatable

    def _emit(self, text: str) -> None:
        """Something that stands for one character; `_class` has moved on by itself."""
        self._put(text, length=0 if text.startswith("[") else 1, repeatable=True)

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"`{self._source}` is no regular expression of Go's: {what}")

    # --- groups --------------------------------------------------------------------------------------------------

    def _group(self) -> None:
        rest = self._source[self._at :]
        if (named := re.match(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>", rest)) is not None:
            self._begin(f"(?P<{named[1]}>", len(named[0]))
        elif (flags := re.match(r"\(\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])", rest)) is not None:
            self._flags(flags[1], flags[2] or "", flags[3], len(flags[0]))
        elif rest.startswith("(?"):
            name = next((name for start, name in _ONLY_PYTHON.items() if rest.startswith(start)), None)
            raise self._wrong(f"{rest[:4]} is {name}, which it lacks" if name else f"{rest[:4]} is unknown to it")
        else:
            self._begin("(", 1)

    def _begin(self, text: str, length: int) -> None:
        self._open.append([])
        self._multiline.append(self._multiline[-1])
        self._put(text, length=length)

    def _flags(self, on: str, off: str, end: str, length: int) -> None:
        unknown = set(on + off[1:]) - set("imsU")
        if unknown or (end == ")" and not on + off):
            raise self._wrong(f"the flags (?{on}{off}{end} are unknown to it")
        if "U" in on + off:
            raise ValueError(f"`{self._source}` uses (?U), which is not supported")
        if end == ":":
            self._begin(f"(?{on}{off}:" if on + off else "(?:", length)
            self._turn(on, off)
        else:
            self._at += length
            self._set_flags(on, off)

    def _set_flags(self, on: str, off: str = "") -> None:
        """Flags in the middle hold to the end of their group, which Python writes as a group of its own."""
        flags = "".join(dict.fromkeys(on)) + off
        self._open[-1].append(flags)
        self._out.append(f"(?{flags}:")
        self._repeatable = False
        self._turn(on, off)

    def _turn(self, on: str, off: str) -> None:
        if "m" in on + off:
            self._multiline[-1] = "m" in on

    def _close(self) -> None:
        if len(self._open) == 1:
            raise self._wrong("a ) closes nothing")
        self._multiline.pop()
        self._put(")" * len(self._open.pop()) + ")", repeatable=True)

    # --- repetition ----------------------------------------------------------------------------------------------

    def _repeat(self) -> None:
        match = re.match(r"(?:[*+?]|\{(\d+)(?:,(\d*))?\})\??", self._source[self._at :], re.ASCII)
        if match is None:  # a brace that counts nothing is a brace
            self._emit(r"\{")
            return
        if not self._repeatable:
            raise self._wrong(f"{match[0]} repeats nothing, or another repetition")
        if any(number and int(number) > _MAX_REPEAT for number in match.groups()):
            raise self._wrong(f"{match[0]} repeats more than {_MAX_REPEAT} times")
        self._put(match[0], length=len(match[0]))

    # --- characters ----------------------------------------------------------------------------------------------

    def _escape(self) -> None:
        letter = self._source[self._at + 1 : self._at + 2]
        if letter == "Q":
            end = self._source.find(r"\E", self._at + 2)
            stop = len(self._source) if end < 0 else end
            text = self._source[self._at + 2 : stop]
            self._at = stop if end < 0 else stop + 2
            self._put(re.escape(text), length=0, repeatable=bool(text))
        elif letter in {"A", "z"}:
            self._put(r"\A" if letter == "A" else r"\Z", length=2, repeatable=True)
        elif letter in {"b", "B"}:
            self._put(rf"(?a:\{letter})", length=2, repeatable=True)
        else:
            ranges = self._escaped()
            self._put(_written(ranges), length=0, repeatable=True)

    def _escaped(self) -> Ranges:
        """The characters that a backslash escape stands for, in a class or outside; moves behind it."""
        rest = self._source[self._at :]
        letter = rest[1:2]
        if letter.lower() in _PERL:
            self._at += 2
            return _PERL[letter] if letter.islower() else _inverse(_PERL[letter.lower()])
        if letter in {"p", "P"}:
            return self._property(rest)
        if letter == "C":
            raise ValueError(f"`{self._source}` uses \\C, which is not supported")
        if letter in _CONTROLS:
            self._at += 2
            return ((_CONTROLS[letter], _CONTROLS[letter]),)
        for pattern, base in _NUMBERED:
            if (number := re.match(pattern, rest)) is not None:
                return self._code(int(number[1], base), len(number[0]))
        return self._punctuation(letter)

    def _punctuation(self, letter: str) -> Ranges:
        if not letter:
            raise self._wrong("it ends in a backslash")
        if letter.isdigit():
            raise self._wrong(f"\\{letter} is a backreference, which it lacks")
        if letter.isalpha() or not letter.isascii():
            raise self._wrong(f"\\{letter} is unknown to it")
        self._at += 2
        return ((ord(letter), ord(letter)),)

    def _code(self, value: int, length: int) -> Ranges:
        if value > _LAST:
            raise self._wrong(f"there is no character {value:x}")
        self._at += length
        return ((value, value),)

    def _property(self, rest: str) -> Ranges:
        match = re.match(r"\\([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Za-z]))", rest)
        if match is None:
            raise self._wrong(f"{rest[:3]} names no class of characters")
        ranges = category(match[3] or match[4])
        if not ranges:
            hint = "scripts are not supported, categories like \\pL and \\p{Lu} are"
            raise ValueError(f"`{self._source}` uses {match[0]}: {hint}")
        self._at += len(match[0])
        return _inverse(ranges) if (match[1] == "P") is not bool(match[2]) else ranges

    def _class(self) -> str:
        """A bracket expression as Python's, every range written out; moves behind it."""
        start = self._at
        self._at += 1
        negated = self._source.startswith("^", self._at)
        self._at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._source.startswith("]", self._at):
            if self._at >= len(self._source):
                raise self._wrong(f"the [ at character {start + 1} is never closed")
            ranges += self._member()
            first = False
        self._at += 1
        return _written(tuple(ranges), negated=negated)

    def _member(self) -> Ranges:
        posix = re.match(r"\[:(\^?)([a-z]+):\]", self._source[self._at :])
        if posix is not None:
            if posix[2] not in _POSIX:
                raise self._wrong(f"{posix[0]} is unknown to it")
            self._at += len(posix[0])
            return _inverse(_POSIX[posix[2]]) if posix[1] else _POSIX[posix[2]]
        low = self._single()
        if len(low) > 1 or low[0][0] != low[0][1]:
            return low
        if self._source.startswith("-", self._at) and self._source[self._at + 1 : self._at + 2] not in {"]", ""}:
            self._at += 1
            high = self._single()
            if len(high) > 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                raise self._wrong("a range of characters ends before it begins")
            return ((low[0][0], high[0][0]),)
        return low

    def _single(self) -> Ranges:
        char = self._source[self._at]
        if char == "\\":
            return self._escaped()
        self._at += 1
        return ((ord(char), ord(char)),)


def _inverse(ranges: Sequence[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    begin = 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    if begin <= _LAST:
        found.append((begin, _LAST))
    return tuple(found)


def _written(ranges: Ranges, *, negated: bool = False) -> str:
    """Ranges as a bracket expression in which no character has a meaning of its own."""
    if not ranges:  # every character was taken away from every character
        return r"[^\x00-\U0010ffff]" if not negated else r"[\x00-\U0010ffff]"
    parts = (_char(low) if low == high else f"{_char(low)}-{_char(high)}" for low, high in ranges)
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _char(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\U{code:08x}"


@cache
def category(name: str) -> Ranges:
    """The characters of a general category (L, Lu, Nd, ...), or nothing where there is no such category."""
    if len(name) > 2:  # noqa: PLR2004 - a script's name, then
        return ()
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for code in range(_LAST + 2):
        inside = code <= _LAST and unicodedata.category(chr(code)).startswith(name)
        if inside and begin is None:
            begin = code
        elif not inside and begin is not None:
            found.append((begin, code - 1))
            begin = None
    return tuple(found)
