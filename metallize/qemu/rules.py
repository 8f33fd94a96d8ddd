"""The rules of the console: data in console_rules.yaml, read once, applied to every line.

A line is tried against a pattern only when it holds one of the rule's needles, and needles are looked for in a
whole read at once: a flood costs one search of memory per needle, not one regular expression per line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import yaml

from metallize.model.profile import ConsoleRules
from metallize.model.report import Severity, Stage

_KERNEL = r"(?:^(?:<\d+>)?|\[ *\d+\.\d+\](?:\[ *[CT]\d+\])? )"
"""The beginning of a kernel message: of a line, or after the time stamp where it came between other output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that a line can mean."""

    id: str
    stage: Stage
    severity: Severity
    pattern: re.Pattern[str]
    needles: tuple[str, ...] = ()
    """One of these is in every line that can match; none: every line is tried."""
    cause: str = ""
    remedy: str = ""
    until: Stage = Stage.READY
    reaches: Stage | None = None
    prompt: bool = False
    examples: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()

    def explain(self, match: re.Match[str]) -> str:
        """The cause in plain words, with what the pattern's first group caught."""
        caught = next((group for group in match.groups() if group), "") if match.re.groups else ""
        return self.cause.replace("{1}", caught.strip()).rstrip(": ")


@cache
def built_in_rules() -> tuple[Rule, ...]:
    """The rules that every boot is watched with."""
    text = files("metallize.qemu").joinpath("console_rules.yaml").read_text(encoding="utf-8")
    return tuple(
        Rule(
            id=entry["id"],
            stage=Stage(entry["stage"]),
            severity=Severity(entry["severity"]),
            pattern=re.compile(entry["pattern"].replace("<kernel>", _KERNEL)),
            needles=tuple(entry["needles"]),
            cause=entry.get("cause", ""),
            remedy=entry.get("remedy", ""),
            until=Stage(entry.get("until", Stage.READY)),
            reaches=Stage(entry["reaches"]) if "reaches" in entry else None,
            prompt=entry.get("prompt", False),
            examples=tuple(entry["examples"]),
            near_misses=tuple(entry["near_misses"]),
        )
        for entry in yaml.safe_load(text)
    )


_NO_WORDS_OF_REFUSAL = ("silent-console", "timeout")
_CRASHES = ("uefi-exception", "grub-memory")


@cache
def refusals() -> dict[str, bool]:
    """What boot.expect may name as refused, and whether it counts where the profile names nothing.

    Firmware and loader refuse in words; that they crash, or that nothing is seen, must be named to count.
    """
    said = [rule for rule in built_in_rules() if rule.stage in (Stage.FIRMWARE, Stage.LOADER)]
    words = [rule.id for rule in said if rule.severity in (Severity.FATAL, Severity.STALL)]
    return {name: name not in _CRASHES + _NO_WORDS_OF_REFUSAL for name in (*words, *_NO_WORDS_OF_REFUSAL)}


def forbidden(pattern: str) -> Rule:
    """The rule that a profile's console.forbid entry is."""
    return Rule(
        id="console.forbid",
        stage=Stage.USERSPACE,
        severity=Severity.FATAL,
        pattern=re.compile(pattern),
        cause=f"the console shows what the profile forbids: /{pattern}/",
        remedy="see the line, or take the pattern out of boot.console.forbid",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that matched, where in the text, and the line."""

    start: int
    line: str
    rule: Rule
    match: re.Match[str] = field(repr=False)


class Scanner:
    """Finds, in whole lines of text, those that mean something."""

    def __init__(self, profile: ConsoleRules, rules: Iterable[Rule] | None = None) -> None:
        every = tuple(built_in_rules() if rules is None else rules)
        self._line_rules = tuple(rule for rule in every if rule.needles and not rule.prompt)
        self._prompt_rules = tuple(rule for rule in every if rule.prompt)
        self._allow = tuple(re.compile(pattern) for pattern in profile.allow)
        self._forbid = tuple(forbidden(pattern) for pattern in profile.forbid)
        self._required = {pattern: re.compile(pattern) for pattern in profile.require}

    @property
    def missing(self) -> tuple[str, ...]:
        """The patterns of console.require that no line has matched yet."""
        return tuple(self._required)

    def scan(self, text: str) -> list[Hit]:
        """Hits in the order of the text, which holds whole lines only."""
        hits = [hit for rule in self._line_rules for hit in _search(rule, text)]
        if self._forbid or self._required:
            hits.extend(self._try_each_line(text))
        hits.sort(key=lambda hit: hit.start)
        return [hit for hit in hits if hit.rule.severity is Severity.PROGRESS or not self.allows(hit.line)]

    def prompts(self, line: str) -> list[Hit]:
        """Hits of the rules that mean a prompt at which the guest waits."""
        found = ((rule, rule.pattern.search(line)) for rule in self._prompt_rules)
        return [
            Hit(start=0, line=line, rule=rule, match=match) for rule, match in found if match and not self.allows(line)
        ]

    def allows(self, line: str) -> bool:
        """Whether the profile says that this line is no failure."""
        return any(pattern.search(line) for pattern in self._allow)

    def _try_each_line(self, text: str) -> Iterator[Hit]:
        start = 0
        for line in text.split("\n"):
            for rule in self._forbid:
                if match := rule.pattern.search(line):
                    yield Hit(start=start, line=line, rule=rule, match=match)
            for pattern in [name for name, regex in self._required.items() if regex.search(line)]:
                del self._required[pattern]
            start += len(line) + 1


def _search(rule: Rule, text: str) -> Iterator[Hit]:
    for needle in rule.needles:
        at = text.find(needle)
        while at != -1:
            start = text.rfind("\n", 0, at) + 1
            end = text.find("\n", at)
            end = len(text) if end == -1 else end
            line = text[start:end]
            first = next(other for other in rule.needles if other in line)
            if first == needle and (match := rule.pattern.search(line)):
                yield Hit(start=start, line=line, rule=rule, match=match)
            at = text.find(needle, end)
