"""goss's line patterns and Go's regular expressions, as values that Python can search with.

Sources: goss docs/gossfile.md (Patterns), matchers/have_patterns.go, and Go's regexp/syntax, whose RE2 dialect
differs from Python's in the places that `compile_go_regex` handles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}


def compile_go_regex(source: str, flags: str = "") -> re.Pattern[str]:
    r"""Compile a regular expression with Go's meaning; `flags` are the letters after a closing slash.

    `$` without (?m) is the end of the text and never before a last newline, \d \w \s are ASCII, and
    [[:alpha:]] and \Q...\E are read. Raises ValueError, in plain words, for what is no regular expression.
    """
    leading = re.match(r"\(\?([imsU]+)\)", source)
    inline = (leading[1] if leading else "") + flags
    if "U" in inline:
        raise ValueError("the regular expression uses (?U), which is not supported")
    body = source[leading.end() :] if leading else source
    number = re.ASCII
    for letter in inline:
        number |= {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}[letter]
    try:
        return re.compile(_translate(body, multiline="m" in inline), number)
    except (re.error, OverflowError, RecursionError) as exc:
        reason = exc.msg if isinstance(exc, re.error) else "it is too large"
        raise ValueError(f"`{source}` is no regular expression: {reason}") from exc


def _translate(source: str, *, multiline: bool) -> str:
    out: list[str] = []
    position = 0
    in_class = False
    while position < len(source):
        char = source[position]
        if char == "\\":
            text, position = _escape(source, position)
            out.append(text)
            continue
        if in_class and source.startswith("[:", position):
            text, position = _posix_class(source, position)
            out.append(text)
            continue
        if in_class:
            in_class = char != "]"
            out.append(r"\[" if char == "[" else char)
        elif char == "[":
            opening = re.match(r"\[\^?\]?", source[position:])
            text = opening[0] if opening else char
            in_class = True
            position += len(text) - 1
            out.append(text.replace("]", r"\]"))
        else:
            out.append(r"\Z" if char == "$" and not multiline else char)
        position += 1
    return "".join(out)


def _escape(source: str, position: int) -> tuple[str, int]:
    """The Python text of one backslash escape, and where the next character stands."""
    letter = source[position + 1 : position + 2]
    if letter == "z":
        return r"\Z", position + 2
    if letter == "Q":
        end = source.find(r"\E", position + 2)
        stop = len(source) if end < 0 else end
        return re.escape(source[position + 2 : stop]), stop if end < 0 else stop + 2
    if letter in {"p", "P", "C"}:
        raise ValueError(f"`{source}` uses \\{letter}, which is not supported")
    return source[position : position + 2], position + 2


def _posix_class(source: str, position: int) -> tuple[str, int]:
    match = re.match(r"\[:(\^?)([a-z]+):\]", source[position:])
    if match is None:
        return r"\[", position + 1
    if match[1] or match[2] not in _POSIX_CLASSES:
        raise ValueError(f"`{source}` uses {match[0]}, which is not supported")
    return _POSIX_CLASSES[match[2]], position + match.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePattern:
    """One of goss's patterns: text that some line holds, or `/re/` that some line matches; `!` inverts it."""

    source: str
    text: str
    regex: re.Pattern[str] | None
    inverse: bool

    def found_in(self, line: str) -> bool:
        """Whether the text or the expression is in this line, before `!` is thought of."""
        return self.regex.search(line) is not None if self.regex else self.text in line


def parse_line_pattern(source: str) -> LinePattern:
    r"""Read `foo`, `!foo`, `\!foo`, `/re/`, `/re/i` or `!/re/`; raises ValueError for a bad expression.

    As goss has it: a text that starts with `/` and has no closing slash is plain text without its first
    slash, because leading backslashes, slashes and exclamation marks are all cut off a plain text.
    """
    inverse = source.startswith("!")
    match = re.fullmatch(r"/(.*)/([ims]*)", source[1:] if inverse else source, re.DOTALL)
    regex = compile_go_regex(match[1], match[2]) if match else None
    text = match[1] if match else source.lstrip("\\/!")
    return LinePattern(source=source, text=text, regex=regex, inverse=inverse)
