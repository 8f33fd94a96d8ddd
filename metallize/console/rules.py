"""The rules of the console: data in rules.yaml, read once, applied to every line.

A whole read goes through a sieve at once, which knows the rules that may match in it: a flood of lines that mean
nothing costs one pass. For those rules, a line is tried only when it holds one of the rule's needles. Rules that mean
nothing any more at the stage that is reached are not looked for at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import yaml

from metallize.console.interrupted import Rejoiner
from metallize.console.literals import required_literal
from metallize.console.sieve import means_the_same_in_a_text, sieve_of
from metallize.model.boot import ConsoleRules
from metallize.model.go_regex import GoRegex, Match, Pattern, compile_go_regex
from metallize.model.report import Severity, Stage

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml reads the rules in a tenth of the time; a PyYAML may come without it."""
_STAMP = r"\[ *\d+\.\d+\](?:\[ *[CT]\d+\])? "
_KERNEL = rf"(?:^(?:<\d+>)?|{_STAMP})"
"""The beginning of a kernel message: of a line, or after the time stamp where it came between other output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that a line can mean."""

    id: str
    stage: Stage
    severity: Severity
    pattern: Pattern
    """What is searched in a line; in built-in ones Python's, and linear in the line: a test holds each to that."""
    stamped: re.Pattern[str] | None = None
    """For a kernel message: the pattern once it is known that the kernel stamps its messages with the time."""
    needles: tuple[str, ...] = ()
    """One of these is in every line that can match; none: every line is tried."""
    cause: str = ""
    remedy: str = ""
    until: Stage = Stage.READY
    reaches: Stage | None = None
    restarts: bool = False
    """To see it once the boot is past it is to see the machine begin again."""
    prompt: bool = False
    emulated: Severity | None = None
    """Its severity where the CPU is emulated, if that is another."""
    ends: str = ""
    """What the last of the lines that belong to it holds."""
    consequence: bool = False
    """It follows from what was seen before: that is named as its cause."""
    explains: bool = False
    """It may be harmless, and is what a later failure follows from."""
    examples: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()

    def explain(self, match: Match) -> str:
        """The cause in plain words, with what the pattern's first group caught."""
        caught = next((group for group in match.groups() if group), "")
        return self.cause.replace("{1}", caught.strip()).rstrip(": ")

    def means_nothing_at(self, stage: Stage) -> bool:
        """Whether a boot that has got to this stage is past it."""
        return stage.rank > self.until.rank or (
            self.reaches is not None and not self.restarts and stage.rank >= self.reaches.rank
        )


@cache
def built_in_rules() -> tuple[Rule, ...]:
    """The rules that every boot is watched with."""
    text = files("metallize.console").joinpath("rules.yaml").read_text(encoding="utf-8")
    return tuple(
        Rule(
            id=entry["id"],
            stage=Stage(entry["stage"]),
            severity=Severity(entry["severity"]),
            pattern=re.compile(entry["pattern"].replace("<kernel>", _KERNEL), re.ASCII),  # as in the sieve
            stamped=re.compile(entry["pattern"].replace("<kernel>", _STAMP), re.ASCII)
            if "<kernel>" in entry["pattern"]
            else None,
            needles=tuple(entry["needles"]),
            cause=entry.get("cause", ""),
            remedy=entry.get("remedy", ""),
            until=Stage(entry.get("until", Stage.READY)),
            reaches=Stage(entry["reaches"]) if "reaches" in entry else None,
            restarts=entry.get("restarts", False),
            prompt=entry.get("prompt", False),
            emulated=Severity(entry["emulated"]) if "emulated" in entry else None,
            ends=entry.get("ends", ""),
            consequence=entry.get("consequence", False),
            explains=entry.get("explains", False),
            examples=tuple(entry["examples"]),
            near_misses=tuple(entry["near_misses"]),
        )
        for entry in yaml.load(text, _LOADER)  # noqa: S506 - either is a safe one, and the file is our own
    )


_NO_WORDS_OF_REFUSAL = ("silent-console", "stage-timeout", "timeout")
_NO_REFUSALS = (
    "uefi-exception",
    "grub-memory",
    "grub-menu-waits",
    "syslinux-menu-waits",
    "syslinux-prompt",
    "memtest",
)


@cache
def refusals() -> dict[str, bool]:
    """What boot.expect may name as refused, and whether it counts where the profile names nothing.

    Firmware and loader refuse in words; that they crash or wait, or that nothing is seen, must be named to count.
    """
    said = [rule for rule in built_in_rules() if rule.stage in (Stage.FIRMWARE, Stage.LOADER)]
    words = [rule.id for rule in said if rule.severity in (Severity.FATAL, Severity.STALL)]
    return {name: name not in _NO_REFUSALS + _NO_WORDS_OF_REFUSAL for name in (*words, *_NO_WORDS_OF_REFUSAL)}


def forbidden(pattern: str) -> Rule:
    """The rule that a profile's console.forbid entry is."""
    literal = required_literal(pattern)
    return Rule(
        id="console.forbid",
        stage=Stage.USERSPACE,
        severity=Severity.FATAL,
        pattern=compile_go_regex(pattern),
        needles=(literal,) if literal else (),
        cause=f"the console shows what the profile forbids: /{pattern}/",
        remedy="see the line, or take the pattern out of boot.console.forbid",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that matched, where in the text its line begins and ends, and the line."""

    start: int
    end: int
    line: str
    rule: Rule
    match: Match = field(repr=False)


class _Wanted:
    """A pattern of console.require, until some line matches it."""

    def __init__(self, pattern: str) -> None:
        self._literal = required_literal(pattern)
        self._line = compile_go_regex(pattern)
        self._text = compile_go_regex(pattern, "m") if means_the_same_in_a_text(pattern) else None

    def is_in(self, text: str) -> bool:
        if self._literal not in text or (self._text is not None and self._text.search(text) is None):
            return False
        return any(self._line.search(line) for _, line in _lines(text) if self._literal in line)


class Scanner:
    """Finds, in whole lines of text, those that mean something."""

    def __init__(self, profile: ConsoleRules, rules: Iterable[Rule] | None = None) -> None:
        forbid = tuple(forbidden(pattern) for pattern in profile.forbid)
        every = (*(built_in_rules() if rules is None else rules), *forbid)
        self._line_rules = tuple(rule for rule in every if not rule.prompt)
        self._prompt_rules = tuple(rule for rule in every if rule.prompt)
        self._allow = tuple(compile_go_regex(pattern) for pattern in profile.allow)
        self._required = {pattern: _Wanted(pattern) for pattern in profile.require}
        self._wanted = tuple(self._required.values())
        self._rejoiner = Rejoiner()
        self._muted: set[str] = set()
        self._active: dict[Stage, _Active] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The patterns of console.require that no line has matched yet."""
        return tuple(self._required)

    @property
    def head(self) -> str:
        """The first half of a line that the kernel cut, and whose other half has not come yet."""
        return self._rejoiner.head

    def mute(self, rule: Rule) -> None:
        """A rule of which enough was seen: it is looked for no more."""
        self._muted.add(rule.id)
        self._active.clear()

    def scan(self, text: str, stage: Stage = Stage.QEMU) -> list[Hit]:
        """Hits in the order of the text, which holds whole lines only; `stage` is what the boot has got to."""
        rules = self._rules_at(stage)
        hits = rules.hits(text)
        for name, wanted in tuple(self._required.items()):
            if wanted.is_in(text):
                del self._required[name]
        for place, line in self._rejoiner.feed(text):
            hits.extend(
                Hit(start=place, end=place, line=hit.line, rule=hit.rule, match=hit.match)
                for hit in self._hits_of_one(rules, line)
                if hit.rule.severity is not Severity.PROGRESS
            )
        hits.sort(key=lambda hit: hit.start)
        return [hit for hit in hits if hit.rule.severity is Severity.PROGRESS or not self.allows(hit.line)]

    def match(self, line: str) -> list[Hit]:
        """Hits in one line that is not the console's, or not whole yet; prompts among them."""
        found = [hit for rule in self._line_rules for hit in _search(rule, line)]
        found += [
            Hit(start=0, end=len(line), line=line, rule=rule, match=match)
            for rule in self._prompt_rules
            if (match := rule.pattern.search(line))
        ]
        return [hit for hit in found if not self.allows(line)]

    def allows(self, line: str) -> bool:
        """Whether the profile says that this line is no failure."""
        return any(pattern.search(line) for pattern in self._allow)

    def wants(self, line: str) -> bool:
        """Whether console.require asks for this line; it may be one that nothing follows, as a prompt's."""
        for name, wanted in tuple(self._required.items()):
            if wanted.is_in(line):
                del self._required[name]
        return any(wanted.is_in(line) for wanted in self._wanted)

    def _rules_at(self, stage: Stage) -> _Active:
        if stage not in self._active:
            self._active[stage] = _Active(
                rule for rule in self._line_rules if rule.id not in self._muted and not rule.means_nothing_at(stage)
            )
        return self._active[stage]

    def _hits_of_one(self, rules: _Active, line: str) -> list[Hit]:
        """Hits in a line that was put together."""
        for name, wanted in tuple(self._required.items()):
            if wanted.is_in(line):
                del self._required[name]
        return rules.hits(line)


class _Active:
    """The rules that mean something at one stage."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        known = [(rule, _may_be_sifted(rule.pattern)) for rule in rules]
        self._sifted = tuple(rule for rule, sifted in known if sifted)
        self._unsifted = tuple(rule for rule, sifted in known if not sifted)
        self._sieve = sieve_of(
            tuple(rule.pattern.pattern for rule in self._sifted),
            tuple(rule.needles for rule in self._sifted),
        )

    def hits(self, text: str) -> list[Hit]:
        """Hits in the lines of a text, rule by rule."""
        passed = [self._sifted[number] for number in self._sieve.passed(text)]
        return [hit for rule in (*passed, *self._unsifted) for hit in _search(rule, text)]


def _may_be_sifted(pattern: Pattern) -> bool:
    return not isinstance(pattern, GoRegex) or means_the_same_in_a_text(pattern.pattern)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.removesuffix("\n").split("\n"):
        yield start, line
        start += len(line) + 1


def _search(rule: Rule, text: str) -> Iterator[Hit]:
    needles = rule.needles
    if not needles:
        for start, line in _lines(text):
            if match := rule.pattern.search(line):
                yield Hit(start=start, end=start + len(line), line=line, rule=rule, match=match)
    for needle in needles:
        at = text.find(needle)
        while at != -1:
            start = text.rfind("\n", 0, at) + 1
            end = text.find("\n", at)
            end = len(text) if end == -1 else end
            line = text[start:end]
            first = next(other for other in needles if other in line)  # so that a line with several is found once
            if first == needle and (match := rule.pattern.search(line)):
                yield Hit(start=start, end=end, line=line, rule=rule, match=match)
            at = text.find(needle, end)
