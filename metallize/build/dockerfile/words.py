"""Words of a dockerfile: quotes, escapes and variables, as BuildKit's lexer reads them.

Source: Dockerfile reference, "Environment replacement"; the modifiers are those of Dockerfile 1.16. What an older
BuildKit lacks of them, it refuses (see frontend.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's unicode.IsSpace calls white space; Python's own notion has four characters more."""
DEEPEST = 100
"""How deeply substitutions may be nested here: deeper than any person nests them."""
_SPECIAL = frozenset("@*#?-$!0")


class WordError(ValueError):
    """A word that BuildKit refuses: an open quote, an unknown substitution, a variable that must be set."""


class UnsetError(WordError):
    """A variable that `${NAME:?message}` demands is not set; another build argument would mend it."""


def expand(text: str, known: Mapping[str, str], *, escape: str = "\\", keep_quotes: bool = False) -> str:
    """Quotes taken off and variables replaced, as in ENV, USER and WORKDIR; an unknown variable is empty.

    `keep_quotes` is how the text of a here-document is read. Raises WordError where BuildKit refuses the text.
    """
    lexer = _Lexer(text=text, known=known, escape=escape, keep_quotes=keep_quotes)
    return lexer.until("", raw_escapes=False)[0]


def shell_words(line: str) -> list[str]:
    """The words of a line with their quotes and escapes kept; none at all where a quote stays open."""
    lexer = _Lexer(text=line, known={}, escape="\\", raw_quotes=True, skip_unset=True)
    try:
        return lexer.until("", raw_escapes=True)[1]
    except WordError:
        return []


def quoting(text: str) -> tuple[list[str], list[str]]:
    """The words of a text without their quotes, and with them. Raises WordError for an open quote."""
    plain = _Lexer(text=text, known={}, escape="\\", skip_unset=True).until("", raw_escapes=False)[1]
    raw = _Lexer(text=text, known={}, escape="\\", raw_quotes=True, skip_unset=True).until("", raw_escapes=False)[1]
    return plain, raw


def json_words(text: str) -> tuple[str, ...] | None:
    """The words of the exec form; None where the text is no JSON array, as Docker then takes it for the shell form.

    Raises WordError for an array of anything but strings.
    """
    text = text.lstrip(SPACES)
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in words):
        raise WordError("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(re.sub("[\ud800-\udfff]", "\ufffd", word) for word in words)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def split_words(text: str, escape: str) -> list[str]:
    """Words at unquoted blanks, their quotes and escapes kept, as ENV, LABEL and ARG are split."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'":
            word += text[at : at + 2] if at + 1 < len(text) else ""
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
            word += char
        elif char in SPACES:
            words += [word] if word else []
            word = ""
        else:
            quote = char if char in "'\"" else ""
            word += char
        at += 1
    return [*words, word] if word else words


@dataclass(slots=True, kw_only=True)
class _Lexer:
    """One text being read; `at` is the place of the next character."""

    text: str
    known: Mapping[str, str]
    escape: str
    raw_quotes: bool = False
    keep_quotes: bool = False
    skip_unset: bool = False
    at: int = 0
    depth: int = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def until(self, stop: str, *, raw_escapes: bool) -> tuple[str, list[str]]:
        """What stands before `stop` (or the end), as one text and as words."""
        if self.depth > DEEPEST:
            raise WordError("substitutions are nested too deeply")
        self.depth += 1
        parts: list[str] = []
        words: list[str] = []
        word: list[str] = []
        while (char := self.peek()) and char != stop:
            taken, splits = self._piece(raw_escapes=raw_escapes)
            parts.append(taken)
            for each in taken:
                if not splits or each not in SPACES:
                    word.append(each)
                elif word:
                    words.append("".join(word))
                    word.clear()
        if stop and not char:
            raise WordError(f"unexpected end of statement while looking for matching {stop}")
        self.at += len(stop)
        self.depth -= 1
        return "".join(parts), [*words, "".join(word)] if word else words

    def _piece(self, *, raw_escapes: bool) -> tuple[str, bool]:
        """The next character, or what stands for the quoted text or the variable; and whether blanks in it split."""
        char = self.peek()
        if char == "$":
            return self._dollar(), True
        if char in "'\"" and not self.keep_quotes:
            return (self._single() if char == "'" else self._double(raw_escapes=raw_escapes)), False
        self.at += 1
        if char == "<" and self.peek() == "<":  # a here-document's word may stand apart
            start = self.at - 1
            self.at += 1
            while self.peek() and self.peek() in "\t\r ":
                self.at += 1
            return self.text[start : self.at], False
        if char == self.escape:
            return (char if raw_escapes else "") + self.next(), False
        return char, True

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise WordError("unexpected end of statement while looking for matching single-quote")
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return f"'{inner}'" if self.raw_quotes else inner

    def _double(self, *, raw_escapes: bool) -> str:
        """Between double quotes an escape keeps its meaning before `"`, `$` and itself alone."""
        quote = self.next() if self.raw_quotes else self.next()[:0]
        parts = [quote]
        while char := self.peek():
            if char == '"':
                self.at += 1
                return "".join([*parts, quote])
            if char == "$":
                parts.append(self._dollar())
                continue
            self.at += 1
            if char == self.escape:
                parts.append(char if raw_escapes else "")
                following = self.peek()
                if not following:
                    continue
                if following in ('"', "$", self.escape):
                    char = self.next()
            parts.append(char)
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _name(self) -> str:
        """A variable's name; digits alone, or one special character, are names as well."""
        first = self.peek()
        if first and first in _SPECIAL and not first.isdecimal():
            return self.next()
        start = self.at
        digits = first.isdecimal()
        while (char := self.peek()) and (char.isdecimal() or (not digits and (char.isalpha() or char == "_"))):
            self.at += 1
        return self.text[start : self.at]

    def _dollar(self) -> str:
        """The value of $name, ${name} or ${name:-word} and its kin."""
        self.at += 1
        if self.peek() != "{":
            name = self._name()
            if not name:
                return "$"
            return self.known.get(name, f"${name}" if self.skip_unset else "")
        self.at += 1
        if not self.peek():
            raise WordError("syntax error: missing '}'")
        if self.peek() in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        how = self.next()
        if how == "}":
            return self.known.get(name, f"${{{name}}}" if self.skip_unset else "")
        if how == "/":
            return self._replaced(name)
        colon = how == ":"
        if colon:
            how = self.next()
        if how not in ("-", "+", "?", "#", "%") or (colon and how in "#%"):
            raise WordError(f"unsupported modifier ({':' if colon else ''}{how}) in substitution")
        word = self._operand("}", raw_escapes=how in "#%")
        value = self.known.get(name)
        if self.skip_unset and value is None:
            return f"${{{name}{':' if colon else ''}{how}{word}}}"
        return _modified(name, value, how, word, null_is_unset=colon)

    def _operand(self, stop: str, *, raw_escapes: bool) -> str:
        try:
            return self.until(stop, raw_escapes=raw_escapes)[0]
        except WordError as exc:
            if not self.peek():
                place = "" if stop == "}" else " in ${}"
                raise WordError(f"syntax error: missing '{stop}'{place}") from exc
            raise

    def _replaced(self, name: str) -> str:
        """${name/pattern/text}, or // for every place."""
        every = self.peek() == "/"
        self.at += every
        pattern = self._operand("/", raw_escapes=True)
        replacement = self._operand("}", raw_escapes=True)
        value = self.known.get(name)
        if self.skip_unset and value is None:
            return f"${{{name}/{pattern}/{replacement}}}"
        expression = _expression(pattern, greedy=True)
        return re.sub(expression, lambda _match: replacement, value or "", count=0 if every else 1)


def _modified(name: str, value: str | None, how: str, word: str, *, null_is_unset: bool) -> str:
    there = bool(value) if null_is_unset else value is not None
    match how:
        case "-":
            return value or "" if there else word
        case "+":
            return word if there else ""
        case "?":
            if not there:
                state = "empty" if value is not None else "unset"
                raise UnsetError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        case _:
            greedy = word.startswith(how)
            word = word[1:] if greedy else word
            return _trimmed(value or "", word, greedy=greedy, at_end=how == "%")


def _trimmed(value: str, pattern: str, *, greedy: bool, at_end: bool) -> str:
    """The value without what the pattern matches at its beginning or its end."""
    if at_end:  # reversed, so that the shortest match is the leftmost one
        tokens: list[str] = re.findall(r"\\.|.", pattern, re.DOTALL)
        pattern, value = "".join(reversed(tokens)), value[::-1]
    found = re.match(_expression(pattern, greedy=greedy), value)
    value = value[found.end() :] if found else value
    return value[::-1] if at_end else value


def _expression(pattern: str, *, greedy: bool) -> str:
    """A shell's pattern, without brackets, as a regular expression."""
    return "".join(_tokens(pattern, ".*" if greedy else ".*?"))


def _tokens(pattern: str, star: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            yield star
        elif char == "?":
            yield "."
        elif char != "\\":
            yield re.escape(char)
        elif (following := pattern[at : at + 1]) in ("}", "/") and following:
            continue
        elif following in ("*", "?", "\\") and following:
            yield re.escape(following)
            at += 1
        else:
            raise WordError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{following}'")
