r"""Whether anything in a text may mean something at all: one pass over it with RE2, at memory's speed, for all rules.

A line that a rule matches is never missed: the sieve's expression is that of every rule, for lines within a text,
without the conditions that some make. What passes it is looked at closely, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import re2

MEMORY_BYTES = 32 << 20
"""What RE2 may use for its states; when they are more it forgets some, and stays right."""
_CONDITION = re.compile(r"\(\?<?[!=](?:[^()\\]|\\.|\((?:[^()\\]|\\.)*+\))*+\)")
"""A look ahead or behind, which RE2 lacks: without it an expression matches the same and more; (?> is another such."""
_OF_THE_WHOLE = re.compile(r"\\A|\\z|\\Q|\(\?[a-zA-Z]*-")
"""What in a person's expression may mean another thing within a text than in a line by itself."""


class Sieve:
    """The expressions of some rules, by their numbers."""

    def __init__(self, patterns: Sequence[str], needles: Sequence[Sequence[str]]) -> None:
        """Of each rule its expression, and the texts of which every match holds one."""
        written = [_wide(pattern, needles[number]) for number, pattern in enumerate(patterns)]
        self._every = range(len(written))
        self._any = re2.compile("(?m)" + "|".join(f"(?:{each})" for each in written), _options()) if written else None
        self._set = re2.Set.SearchSet(_options())
        for each in written:
            self._set.Add(f"(?m){each}")
        if written:
            self._set.Compile()

    def passed(self, text: str) -> Sequence[int]:
        """The numbers of the rules that may match a line of the text."""
        if self._any is None:
            return ()
        data = text.encode(errors="replace")
        if self._any.search(data) is None:
            return ()
        # it names none where its memory was short
        return sorted(self._set.Match(data)) or self._every


@lru_cache(maxsize=8)
def sieve_of(patterns: tuple[str, ...], needles: tuple[tuple[str, ...], ...]) -> Sieve:
    """The same one for the same rules: one boot asks for what the boot before it asked, and RE2 takes its time."""
    return Sieve(patterns, needles)


def means_the_same_in_a_text(pattern: str) -> bool:
    """Whether a person's expression, given (?m), matches in a text wherever it matches a line of it by itself."""
    return _OF_THE_WHOLE.search(pattern) is None


def _wide(pattern: str, needles: Sequence[str]) -> str:
    """An expression for RE2 that matches wherever this one does."""
    wide = _CONDITION.sub("", pattern).replace("(?>", "(?:")
    try:
        re2.compile(wide, _options())
    except re2.error:
        return "|".join(re2.escape(needle) for needle in needles)
    return wide


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.longest_match = True
    options.max_mem = MEMORY_BYTES
    return options
