"""What the sieve lets pass holds every line that a rule matches, whatever stands around it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.console.rules import Rule, Scanner, built_in_rules
from metallize.console.sieve import Sieve, means_the_same_in_a_text
from metallize.model.boot import ConsoleRules
from metallize.model.report import Severity, Stage

RULES = tuple(rule for rule in built_in_rules() if not rule.prompt)
PATTERNS = [rule.pattern.pattern for rule in RULES]
NEEDLES = [rule.needles for rule in RULES]
SAID = [line for rule in RULES for line in (*rule.examples, *rule.near_misses)]
WORDS = sorted({needle for rule in RULES for needle in rule.needles})
LINES = st.one_of(
    st.sampled_from(SAID),
    st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.sampled_from(["[    1.234567] ", "^", " ", "ü", "é\u2028", "\t", "\u00a0", "\u0663"]),
        ),
        max_size=4,
    ).map("".join),
    st.sampled_from(SAID).flatmap(lambda line: st.integers(0, len(line)).map(lambda at: line[at:])),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)
SIEVE = Sieve(PATTERNS, NEEDLES)


def found_line_by_line(rules: tuple[Rule, ...], text: str) -> list[tuple[str, str]]:
    lines = text.removesuffix("\n").split("\n")
    return sorted((rule.id, line) for rule in rules for line in lines if rule.pattern.search(line))


@settings(deadline=None)
@given(st.lists(LINES, max_size=8))
def test_no_line_that_a_rule_matches_is_missed(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    found = {RULES[number].id for number in SIEVE.passed(text)}
    assert {rule for rule, _ in found_line_by_line(RULES, text)} <= found


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(LINES, max_size=8))
def test_a_scan_finds_what_looking_at_every_line_with_every_rule_finds(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines if line.strip())
    hits = [(hit.rule.id, hit.line) for hit in Scanner(ConsoleRules()).scan(text) if hit.start != hit.end]
    assert sorted(hits) == found_line_by_line(RULES, text)
    starts = [hit.start for hit in Scanner(ConsoleRules()).scan(text)]
    assert starts == sorted(starts)


@settings(deadline=None)
@given(
    st.lists(LINES, max_size=6),
    st.sampled_from(["^ü", "[A-Z]+: $", r"\Aerror", r"it\z", "(?-m)^x$", "(?i)grub", r"\s$", "a|^b", r"\Q^\E"]),
)
def test_what_a_profile_forbids_and_requires_is_found_in_the_same_lines(lines: list[str], pattern: str) -> None:
    lines = [line for line in lines if line.strip()]
    scanner = Scanner(ConsoleRules(forbid=(pattern,), require=(pattern,)), rules=())
    hits = scanner.scan("".join(f"{line}\n" for line in lines))
    expected = [line for line in lines if Scanner(ConsoleRules(forbid=(pattern,)), rules=()).match(line)]
    assert [hit.line for hit in hits if hit.start != hit.end] == expected
    assert (scanner.missing == ()) == bool(expected)


def test_what_means_another_thing_in_a_text() -> None:
    assert means_the_same_in_a_text(r"^a|b$")
    assert not any(map(means_the_same_in_a_text, [r"\Aa", r"b\z", "(?i-m)^x", r"\Q(?x\E"]))


def test_nothing_passes_a_sieve_of_no_rules() -> None:
    assert Sieve([], []).passed("Kernel panic\n") == ()


def test_a_lookaround_that_cannot_be_left_out_leaves_the_needles() -> None:
    sieve = Sieve([r"(a)b+\1", r"x(?!y(?:z))"], [("ab",), ("x",)])
    assert sieve.passed("cab\n") == [0]
    assert sieve.passed("xyz\n") == [1]
    assert sieve.passed("aba\n") == [0]
    assert sieve.passed("b\n") == ()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [Stage.QEMU, Stage.USERSPACE])
def test_near_misses_of_every_rule_cost_one_pass(stage: Stage) -> None:
    scanner = Scanner(ConsoleRules())
    silent = [line for line in (*SAID, *WORDS) if not Scanner(ConsoleRules()).scan(f"{line}\n", stage)]
    text = "".join(f"{line}\n" for line in silent * 8)
    assert not [hit for hit in scanner.scan(text, stage) if hit.rule.severity is not Severity.PROGRESS]
    singles = [Sieve([pattern], [needles]) for pattern, needles in zip(PATTERNS, NEEDLES, strict=True)]
    one_by_one = _seconds(lambda: [single.passed(text) for single in singles])
    assert (
        _seconds(lambda: scanner.scan(text, stage)) * 2 < one_by_one
    )  # 4 to 6 times as fast; one rule after the other: at most as fast


def _seconds(work: Callable[[], object]) -> float:
    """The least of a few: what else runs on this host makes no work shorter."""
    found = []
    for _ in range(20):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)
