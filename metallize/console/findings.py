"""What the watch keeps of a line that means something, and the times it goes by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from metallize.model.report import Finding, Severity, StageTime

CONTEXT_BEFORE = 8
CONTEXT_AFTER = 12
BLOCK_AFTER = 80
"""After a line with which a block of lines begins: a panic's or an oops's trace."""
MAX_FINDINGS = 100
ENOUGH_FINDINGS = 20
"""Of one rule: after so many it is looked for no more."""
ENOUGH_HITS = 2000
"""Of one rule, the same finding again and again among them."""
SHOWN_CHARACTERS = 500
"""Of a line; and the lines around one are looked for in no more text than so many lines can have."""
WAIT_SECONDS: Mapping[str, float] = {"grub-menu-waits": 10.0, "syslinux-menu-waits": 10.0, "syslinux-prompt": 50.0}
"""What may wait for somebody, and how long it must have stood still for that to be sure.

A menu counts down before one's eyes, every second; a prompt may do so unseen, and a minute is what few are given. It is
time by the guest's clock: a slow host adds little to it.
"""
ENDS = frozenset({*WAIT_SECONDS, "memtest", "shell-cut-by-the-kernel"})
"""With every prompt: where a boot may end that is asked to come so far and no further."""
LOGIN_PROMPT = re.compile(r"^(?:(?!Last )[^\s:]+ )?login: ?$")
CUT_LOGIN_PROMPT = re.compile(r"^(?:[^\s:]+ )?login: \[ {0,4}\d{1,5}\.\d{6}\]", re.MULTILINE)
"""A prompt after which the kernel wrote at once."""
PANIC_END = "---[ end Kernel panic"
_ALIVE = re.compile(r"^\[(?:  OK  | *\*+ *|FAILED|DEPEND)\] |^\S+ login: |systemd\[1\]: ")
_KERNEL_TIME = re.compile(r"\[ *(\d+\.\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How far a guest had come, and what had been found, at one moment."""

    stages: tuple[StageTime, ...]
    findings: tuple[Seen, ...]
    known: Mapping[str, frozenset[str]]
    hits: Mapping[str, int]
    resets: int


@dataclass(slots=True)
class Seen:
    """A finding, what may still be added to it, and from when on it counts."""

    finding: Finding
    due: float
    before: tuple[str, ...]
    after: list[str] = field(default_factory=list)
    most_after: int = CONTEXT_AFTER
    ends: str = ""
    """What the last line of its block holds; empty: no block."""
    earliest: float = 0.0
    """From when on it counts once its block has ended."""

    @property
    def full(self) -> bool:
        return len(self.after) >= self.most_after

    @property
    def lives_on(self) -> bool:
        """Whether it says that all has ended, and yet somebody but the kernel went on: it was only a word in a log."""
        return (
            self.ends == PANIC_END
            and PANIC_END not in "".join(self.after[-1:])
            and any(_ALIVE.search(line) for line in self.after)
        )

    def add(self, lines: list[str], now: float) -> None:
        """Lines that came after it."""
        for line in lines:
            if self.full:
                return
            self.after.append(line)
            if self.ends and self.ends in line:
                self.most_after = len(self.after)
                self.due = min(self.due, max(now, self.earliest))

    def complete(self) -> Finding:
        return replace(self.finding, context=(*self.before, self.finding.line, *self.after))

    def weighed(self, severity: Severity) -> Seen:
        """The same with another severity."""
        return replace(self, finding=replace(self.finding, severity=severity))


def lines_before(text: str, start: int, count: int) -> list[str]:
    """The last lines of a text before a line's start, each cut to what is shown."""
    lines: list[str] = []
    end = start - 1
    while end > 0 and len(lines) < count:
        begin = text.rfind("\n", 0, end) + 1
        if not text[begin:end].isspace() and begin < end:
            lines.append(text[begin : min(end, begin + SHOWN_CHARACTERS)])
        end = begin - 1
    return lines[::-1]


def lines_after(text: str, end: int, count: int) -> list[str]:
    """The lines of a text that follow a line's end."""
    lines: list[str] = []
    start = end + 1
    while start < len(text) and len(lines) < count:
        stop = text.find("\n", start)
        stop = len(text) if stop == -1 else stop
        if not text[start:stop].isspace() and start < stop:
            lines.append(text[start : min(stop, start + SHOWN_CHARACTERS)])
        start = stop + 1
    return lines


def kernel_time(lines: Iterable[str]) -> float | None:
    """The last time stamp of a kernel in some lines, in seconds since it began."""
    stamps = [stamp for line in lines for stamp in _KERNEL_TIME.findall(line)]
    return float(stamps[-1]) if stamps else None
