"""What only a shell can answer: the sum of two random numbers, which is nowhere in what is sent.

An echo, a program that repeats its input, a forced command, a prompt that looks like one: none of them adds.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

_LEAST, _MOST = 10**8, 10**9
"""Of each number: the sum has nine digits or more, and is one that a shell of 32 bits can add."""
_MARK = "mz-alive-"


def _number() -> int:
    return _LEAST + secrets.randbelow(_MOST - _LEAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One question; each login has its own."""

    first: int = field(default_factory=_number)
    second: int = field(default_factory=_number)

    @property
    def answer(self) -> str:
        return f"{_MARK}{self.first + self.second}"

    @property
    def script(self) -> str:
        """For sh, on its standard input."""
        return f"echo {_MARK}$(({self.first}+{self.second}))\n"

    @property
    def line(self) -> str:
        """For whatever shell stands at a terminal: sh, bash, zsh, fish, csh and busybox all understand it."""
        return f"expr {self.first} + {self.second} | sed 's/^/{_MARK}/'"

    @property
    def pattern(self) -> str:
        """Finds the answer in what a terminal shows, whatever a prompt or another program printed around it."""
        return rf"{self.answer}(?!\d)"

    def is_answered(self, text: str) -> bool:
        return re.search(self.pattern, text) is not None
