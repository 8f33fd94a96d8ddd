"""goss's line patterns as values that Python can search with.

Sources: goss docs/gossfile.md (Patterns), matchers/have_patterns.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from metallize.model.go_regex import GoRegex, compile_go_regex


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePattern:
    """One of goss's patterns: text that some line holds, or `/re/` that some line matches; `!` inverts it."""

    source: str
    text: str
    regex: GoRegex | None
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
