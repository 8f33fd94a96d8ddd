"""Each rule of the console matches its recorded lines, and not its near misses."""

from __future__ import annotations

import pytest

from metallize.console.rules import Rule, Scanner, built_in_rules, refusals
from metallize.model.boot import ConsoleRules
from metallize.model.report import Severity

RULES = built_in_rules()


def hits(scanner: Scanner, line: str) -> list[str]:
    return [
        hit.rule.id for hit in (*scanner.scan(line + "\n"), *(hit for hit in scanner.match(line) if hit.rule.prompt))
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_examples_match_and_near_misses_do_not(rule: Rule) -> None:
    scanner = Scanner(ConsoleRules())
    assert rule.examples
    assert rule.near_misses
    for line in rule.examples:
        assert rule.id in hits(scanner, line)
    for line in rule.near_misses:
        assert rule.id not in hits(scanner, line)


def test_every_rule_that_fails_a_boot_says_why_and_what_to_do() -> None:
    for rule in RULES:
        if rule.severity is not Severity.PROGRESS:
            assert rule.cause
            assert rule.remedy
            match = rule.pattern.search(rule.examples[0])
            assert match
            assert "{" not in rule.explain(match)


def test_a_loader_that_waits_or_tests_the_memory_refuses_nothing_unless_it_is_named() -> None:
    known = refusals()
    waits = {"grub-menu-waits", "syslinux-menu-waits", "syslinux-prompt", "memtest"}
    assert waits == {name for name in waits if known[name] is False}
    assert known["grub-prompt"] is True


def test_ids_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_a_line_is_found_once_whatever_needles_it_holds() -> None:
    line = "[    9.9] Out of memory: Killed process 1 (x) after systemd invoked oom-killer"
    assert hits(Scanner(ConsoleRules()), line).count("kernel-oom") == 1


def test_hits_come_in_the_order_of_the_lines() -> None:
    text = (
        "[    2.2] Kernel panic - not syncing: a\nWelcome to Debian GNU/Linux 13 (trixie)!\n[    0.0] Linux version 6\n"
    )
    found = [hit.rule.id for hit in Scanner(ConsoleRules()).scan(text)]
    assert found == ["kernel-panic", "userspace-init", "kernel-banner"]


def test_the_profile_forbids_requires_and_allows() -> None:
    scanner = Scanner(
        ConsoleRules(require=("^ready$", "never"), forbid=("secret [0-9]+",), allow=("Failed to start x",))
    )
    text = "a secret 42\nready\n[FAILED] Failed to start x.service.\n[FAILED] Failed to start y.service.\n"
    found = [(hit.rule.id, hit.line) for hit in scanner.scan(text)]
    assert found == [("console.forbid", "a secret 42"), ("unit-failed", "[FAILED] Failed to start y.service.")]
    assert scanner.missing == ("never",)
