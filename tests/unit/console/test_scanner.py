"""What a scanner finds in a text, at which place and how often, and which rules it looks for at which stage."""

from __future__ import annotations

import re
from typing import Any

import pytest

from metallize.console.rules import Hit, Rule, Scanner, built_in_rules, forbidden, refusals
from metallize.model.boot import ConsoleRules
from metallize.model.report import Severity, Stage

BUILT_IN = {rule.id: rule for rule in built_in_rules()}
FAILED = "[FAILED] Failed to start a.service.\n"
WELCOME = "Welcome to Debian GNU/Linux 13 (trixie)!\n"


def rule(pattern: str, *needles: str, **changes: Any) -> Rule:
    values: dict[str, Any] = {"id": pattern, "stage": Stage.KERNEL, "severity": Severity.FATAL, **changes}
    return Rule(pattern=re.compile(pattern), needles=needles, **values)


def scanner(*rules: Rule, **profile: tuple[str, ...]) -> Scanner:
    return Scanner(ConsoleRules(**profile), rules)


def places(hits: list[Hit]) -> list[tuple[int, int, str]]:
    return [(hit.start, hit.end, hit.line) for hit in hits]


@pytest.mark.parametrize("needles", [("milk",), (), ("no milk", "milk"), ("milk", "no")])
def test_where_a_line_begins_and_ends(needles: tuple[str, ...]) -> None:
    one = scanner(rule("^no milk$", *needles))
    assert places(one.scan("\nno milk\nno milk today\n\nno milk\n")) == [(1, 8, "no milk"), (24, 31, "no milk")]
    assert places(one.scan("no milk\n")) == [(0, 7, "no milk")]
    assert places(one.match("no milk")) == [(0, 7, "no milk")]
    assert one.match("no bread") == []


def test_a_prompt_is_looked_for_where_a_line_is_not_whole_and_once() -> None:
    one = scanner(rule("^> $", ">", prompt=True), rule("lines?", "line"))
    assert one.scan("> \n") == []
    assert places(one.match("> ")) == [(0, 2, "> ")]
    assert places(one.match("a line")) == [(0, 6, "a line")]
    assert scanner(rule("^> $", ">", prompt=True), allow=("^never$", ">")).match("> ") == []


def test_what_one_of_many_patterns_allows_is_allowed() -> None:
    one = scanner(rule("milk", "milk"), allow=("^never$", "no milk"))
    assert [hit.line for hit in one.scan("no milk\nsour milk\n")] == ["sour milk"]
    assert [one.allows(line) for line in ("never", "no milk", "sour milk")] == [True, True, False]


def test_a_profile_cannot_allow_a_boots_progress_away() -> None:
    hits = Scanner(ConsoleRules(allow=(".",))).scan(WELCOME + FAILED)
    assert [hit.rule.id for hit in hits] == ["userspace-init"]


@pytest.mark.parametrize("pattern", [r"\Amilk", "milk", "m[i]lk"])
def test_a_persons_pattern_is_one_of_a_line_by_itself(pattern: str) -> None:
    text = "bread\nmilk\nbread\n"
    assert places(scanner(forbid=(pattern,)).scan(text)) == [(6, 10, "milk")]
    one = scanner(require=(pattern, "^never$"))
    assert one.missing == (pattern, "^never$")
    one.scan("bread\n")
    assert one.missing == (pattern, "^never$")
    one.scan(text)
    assert list(one.missing) == ["^never$"]


def test_what_is_wanted_is_wanted_for_ever_and_missing_until_it_is_seen() -> None:
    one = scanner(require=("^> $", "^never$"))
    assert not one.wants("a line")
    assert one.missing == ("^> $", "^never$")
    assert one.wants("> ")
    assert list(one.missing) == ["^never$"]
    assert one.wants("> "), "a second time too"


def test_a_line_that_the_kernel_cut_is_told_at_its_last_part_and_is_no_progress_twice() -> None:
    one = Scanner(ConsoleRules(require=("^Welcome to Debian",)))
    cut = "Welcome to De[   33.123456] kvm_amd: Nested Paging disabled\n"
    assert one.scan(cut) == []
    assert (one.head, one.missing) == ("Welcome to De", ("^Welcome to Debian",))
    assert one.scan("bian GNU/Linux 13 (trixie)!\n") == []
    assert (one.head, one.missing) == ("", ())
    assert Scanner(ConsoleRules()).head == ""
    cut = "[FAILED] Failed to st[   33.123456] kvm_amd: Nested Paging disabled\nart a.service.\n"
    [hit] = Scanner(ConsoleRules()).scan(cut)
    assert (hit.rule.id, hit.line, hit.start, hit.end) == ("unit-failed", FAILED.strip(), 68, 68)
    late = "[FAILED] Failed to start b.service.\n"
    hits = Scanner(ConsoleRules()).scan(cut + late)
    assert [hit.start for hit in hits] == [68, 83], "in the order of the text"
    assert Scanner(ConsoleRules(allow=(r"a\.service",))).scan(cut) == []


def test_a_line_that_was_put_together_has_what_is_wanted_and_nothing_else() -> None:
    one = Scanner(ConsoleRules(require=("^Welcome to Debian", "milk")))
    one.scan("Welcome to De[   33.123456] kvm_amd: Nested Paging disabled\nbian GNU/Linux 13 (trixie)!\n")
    assert one.missing == ("milk",)


def test_a_pattern_that_means_something_else_in_a_text_is_looked_for_line_by_line_and_once() -> None:
    one = Scanner(ConsoleRules(forbid=(r"\Amilk",)))
    assert [hit.start for hit in one.scan("milk\nbread\nmilk\n") if hit.rule.id == "console.forbid"] == [0, 11]


def test_what_is_muted_is_looked_for_no_more_and_nothing_else_is() -> None:
    one = scanner(rule("milk", "milk"), rule("bread", "bread"))
    assert [hit.line for hit in one.scan("milk\nbread\n")] == ["milk", "bread"]
    one.mute(rule("milk", "milk"))
    assert [hit.line for hit in one.scan("milk\nbread\n")] == ["bread"]
    assert [hit.line for hit in one.scan("milk\nbread\n", Stage.KERNEL)] == ["bread"]


def never(*given: object) -> None:
    raise AssertionError(given)


def test_lines_are_looked_at_where_something_may_be_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of lines that mean nothing costs one pass over each read, and so do those of which nothing is wanted."""
    one = Scanner(ConsoleRules(forbid=("no m[i]lk",), require=("^milk [0-9]+$",)))
    monkeypatch.setattr("metallize.console.rules._lines", never)
    assert one.scan("the manual says Kernel panic - not syncing: x\n") == []
    monkeypatch.setattr("metallize.console.rules._search", never)
    assert one.scan("a line\nmilk and bread\n") == []
    monkeypatch.setattr("metallize.console.rules.sieve_of", never)
    assert one.scan("a line\n") == [], "at one stage the rules are the same"
    assert one.missing == ("^milk [0-9]+$",)


STAGES = list(Stage)


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, Stage.READY),
        ({"until": Stage.LOADER}, Stage.LOADER),
        ({"reaches": Stage.KERNEL}, Stage.LOADER),
        ({"reaches": Stage.KERNEL, "restarts": True}, Stage.READY),
        ({"reaches": Stage.KERNEL, "restarts": True, "until": Stage.INITRD}, Stage.INITRD),
        ({"reaches": Stage.KERNEL, "until": Stage.FIRMWARE}, Stage.FIRMWARE),
    ],
)
def test_the_last_stage_at_which_a_rule_means_something(changes: dict[str, object], last: Stage) -> None:
    one = rule("milk", "milk", **changes)
    assert [stage for stage in STAGES if not one.means_nothing_at(stage)] == STAGES[: STAGES.index(last) + 1]
    assert [stage for stage in STAGES if scanner(one).scan("milk\n", stage)] == STAGES[: STAGES.index(last) + 1]


def test_what_is_caught_stands_in_the_cause() -> None:
    one = rule("no (?:(milk)|(bread ))", cause="there is none: {1}", severity=Severity.FATAL)
    found = [hit.rule.explain(hit.match) for hit in scanner(one).scan("no milk\nno bread \n")]
    assert found == ["there is none: milk", "there is none: bread"]
    [hit] = scanner(rule("no( ?)", cause="there is none: {1}")).scan("no\n")
    assert hit.rule.explain(hit.match) == "there is none"


def test_what_a_rule_says_of_itself_is_read() -> None:
    assert {name for name, one in BUILT_IN.items() if one.restarts} == {"kernel-banner"}
    assert {name for name, one in BUILT_IN.items() if one.explains} == {"kernel-initrd-damaged"}
    assert (BUILT_IN["kernel-banner"].reaches, BUILT_IN["unit-failed"].reaches) == (Stage.KERNEL, None)
    assert {name: one.emulated for name, one in BUILT_IN.items() if one.emulated} == {"kernel-lockup": Severity.WARNING}
    assert BUILT_IN["grub-prompt"].consequence
    assert not BUILT_IN["unit-failed"].consequence
    panic, failed = BUILT_IN["kernel-panic"].stamped, BUILT_IN["unit-failed"].stamped
    assert failed is None
    assert panic is not None
    assert panic.search("[    2.3] Kernel panic - not syncing: x")
    assert not panic.search("Kernel panic - not syncing: x"), "as somebody prints it, once it is known to be stamped"


def test_the_rule_that_a_profile_makes() -> None:
    one = forbidden("secret [0-9]+")
    assert (one.severity, one.needles) == (Severity.FATAL, ("secret ",))
    assert (one.restarts, one.prompt, one.consequence, one.explains) == (False, False, False, False)
    assert forbidden("a|b").needles == ()


def test_what_may_refuse_a_boot() -> None:
    known = refusals()
    assert {name for name, counts in known.items() if counts} == {
        *("bios-no-bootable-device", "bios-boot-failed", "uefi-boot-failed", "uefi-shell", "uefi-shell-prompt"),
        *("secure-boot-refused", "ipxe-download", "netboot-gave-up", "grub-rescue", "grub-prompt", "uboot-reset"),
        *("grub-error", "grub-script-error", "grub-gave-up", "efi-stub-error"),
    }
    assert {name for name, counts in known.items() if not counts} == {
        *("uefi-exception", "grub-memory", "grub-menu-waits", "syslinux-menu-waits", "syslinux-prompt", "memtest"),
        *("silent-console", "stage-timeout", "timeout"),
    }
