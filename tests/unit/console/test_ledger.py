"""What one boot's lines add up to: which ends it, which may yet do so, which is only worth a word, and until when."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from metallize.console.findings import ENOUGH_FINDINGS, ENOUGH_HITS, MAX_FINDINGS
from metallize.console.ledger import PANICKED_RULE, Ledger
from metallize.console.rules import Hit, Rule
from metallize.model.report import Finding, Severity, Stage

NOW = 1000.0


def rule(name: str, severity: Severity = Severity.FAULT, **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "id": name,
        "stage": Stage.KERNEL,
        "severity": severity,
        "cause": "{1}",
        "remedy": "look",
        **changes,
    }
    return Rule(pattern=re.compile("(.*)"), **values)


def hit(of: Rule, line: str, *, start: int = 0) -> Hit:
    match = of.pattern.search(line)
    assert match is not None
    return Hit(start=start, end=start + len(line), line=line, rule=of, match=match)


PANIC = rule("panic", Severity.FATAL)
STALL = rule("stall", Severity.STALL)
MENU = rule("grub-menu-waits", Severity.STALL)
FAULT = rule("fault")


def ledger(*, slowness: float = 1.0, emulated: bool = False) -> Ledger:
    made = Ledger(slowness=slowness, emulated=emulated)
    made.begun = 990.0
    return made


def tell(
    to: Ledger, of: Rule, line: str, *, now: float = NOW, before: str = "", after: str = "", ending: bool = False
) -> bool:
    """A line, in the text that it came in, as the reader of a port tells of it."""
    text = f"{before}{line}\n{after}"
    to.follow(text, now)
    enough = to.weigh(hit(of, line, start=len(before)), text, now, ending=ending)
    to.remember(text, now)
    return enough


def say(to: Ledger, text: str, now: float) -> None:
    to.follow(text, now)
    to.remember(text, now)


def told(of: Ledger) -> list[tuple[str, str, Severity]]:
    return [(finding.rule, finding.cause, finding.severity) for finding in of.findings]


def end(of: Ledger) -> Finding:
    assert of.fatal is not None
    return of.fatal.complete()


def test_a_finding_has_its_place_and_the_lines_around_it() -> None:
    one = ledger()
    say(one, "".join(f"{number}\n" for number in range(12)), NOW)
    tell(one, FAULT, "no milk", before="a\nb\n", after="c\n\nd\n")
    say(one, "e\nf\n", NOW + 0.4)
    say(one, "late\n", NOW + 0.5)
    say(one, "later\n", NOW + 0.6)
    [found] = one.findings
    assert (found.rule, found.stage, found.severity, found.remedy) == ("fault", Stage.KERNEL, Severity.FAULT, "look")
    assert (found.cause, found.line, found.seconds) == ("no milk", "no milk", 10.0)
    assert found.context == (*"67", "8", "9", "10", "11", "a", "b", "no milk", "c", "d", "e", "f", "late")


def test_what_was_never_switched_on_counts_from_nought() -> None:
    one = Ledger(slowness=1.0, emulated=False)
    tell(one, FAULT, "no milk")
    assert [finding.seconds for finding in one.findings] == [NOW]


@pytest.mark.parametrize(("ends", "lines", "due"), [("", 12, 0.5), ("the end", 80, 0.9)])
def test_a_block_of_lines_is_longer_and_waited_for_longer(ends: str, lines: int, due: float) -> None:
    one = ledger()
    tell(one, replace(PANIC, ends=ends), "no milk")
    assert one.fatal is not None
    assert one.fatal.due == NOW + due
    say(one, "x\n" * 50, NOW + 0.1)
    say(one, "y\n" * 50, NOW + 0.2)
    assert len(end(one).context) == 1 + lines


@pytest.mark.parametrize(("at", "due"), [(0.1, 0.25), (0.4, 0.4), (0.8, 0.8)])
def test_a_block_that_has_ended_is_waited_for_no_more(at: float, due: float) -> None:
    one = ledger()
    tell(one, replace(PANIC, ends="the end"), "no milk")
    say(one, "this is the end of it\n", NOW + at)
    assert one.fatal is not None
    assert one.fatal.due == pytest.approx(NOW + due)


def test_a_line_that_is_not_the_consoles_has_no_lines_around_it() -> None:
    one = ledger()
    say(one, "before\n", NOW)
    one.weigh(hit(FAULT, "no milk"), None, NOW, ending=False)
    assert [finding.context for finding in one.findings] == [("no milk",)]


def test_where_the_cpu_is_emulated_a_rule_may_mean_less() -> None:
    lockup = rule("lockup", Severity.FATAL, emulated=Severity.WARNING)
    for emulated, ends in ((False, True), (True, False)):
        one = ledger(emulated=emulated)
        tell(one, lockup, "stuck")
        assert (one.fatal is not None) is ends
    one = ledger(emulated=True)
    tell(one, PANIC, "no milk")
    assert end(one).severity is Severity.FATAL


def test_the_same_is_told_once_and_looked_for_until_it_was_seen_often() -> None:
    one = ledger()
    for _ in range(ENOUGH_HITS):
        assert one.weigh(hit(FAULT, "no milk"), None, NOW, ending=False) is False
    assert one.weigh(hit(FAULT, "no milk"), None, NOW, ending=False) is True
    assert told(one) == [("fault", "no milk", Severity.FAULT)]


def test_of_one_rule_so_much_is_told_and_of_all_so_much() -> None:
    one = ledger()
    for number in range(ENOUGH_FINDINGS):
        assert tell(one, FAULT, f"no {number}") is False
    assert tell(one, FAULT, "no more") is True
    assert len(one.findings) == ENOUGH_FINDINGS
    for number in range(MAX_FINDINGS):
        tell(one, rule(f"fault {number}"), "no")
    assert len(one.findings) == MAX_FINDINGS


def test_the_first_end_counts_and_a_line_that_says_more_of_it() -> None:
    one = ledger()
    tell(one, PANIC, "no milk")
    tell(one, rule("another", Severity.FATAL), "no milk and no bread")
    assert (end(one).rule, end(one).cause) == ("panic", "no milk")
    tell(one, PANIC, "no bread")
    assert end(one).cause == "no milk"
    tell(one, PANIC, "no milk today")
    assert end(one).cause == "no milk today"
    assert one.pending == ("no milk today",)


def test_while_it_is_switched_off_nothing_ends_it() -> None:
    one = ledger()
    tell(one, PANIC, "no milk", ending=True)
    assert one.fatal is None
    one.ended(PANICKED_RULE, Stage.KERNEL, "it panicked", remedy="", line="", now=NOW)
    tell(one, PANIC, "no milk", ending=True)
    assert end(one).rule == PANICKED_RULE


def test_what_follows_from_something_names_it() -> None:
    shell = rule("shell", Severity.FATAL, consequence=True)
    suspect = rule("suspect", Severity.WARNING, explains=True)
    one = ledger()
    tell(one, shell, "a shell")
    assert end(one).cause == "a shell", "nothing was seen before"
    one = ledger()
    tell(one, rule("word", Severity.WARNING), "a word")
    tell(one, shell, "a shell")
    assert end(one).cause == "a shell", "what is worth a word explains nothing"
    one = ledger()
    tell(one, suspect, "a bad initrd")
    tell(one, suspect, "another")
    tell(one, shell, "a shell ")
    assert end(one).cause == "a shell: a bad initrd"
    one = ledger()
    tell(one, suspect, "a bad initrd")
    tell(one, FAULT, "no milk")
    tell(one, FAULT, "no bread")
    tell(one, shell, "a shell")
    assert end(one).cause == "a shell: no milk"
    for stalled, named in ((STALL, "it waits"), (MENU, "no milk")):
        one = ledger()
        tell(one, FAULT, "no milk")
        tell(one, stalled, "it waits")
        tell(one, shell, "a shell")
        assert end(one).cause == f"a shell: {named}"
    one = ledger()
    tell(one, FAULT, "no milk")
    tell(one, PANIC, "no bread")
    assert end(one).cause == "no bread", "what does not follow from it does not name it"


def test_what_is_no_line_ends_it_too_and_the_first_of_all_counts() -> None:
    one = ledger()
    say(one, "before\n", NOW)
    one.ended("qemu-ended", Stage.QEMU, "QEMU ended", remedy="look", line="x", now=NOW)
    one.ended("another", Stage.QEMU, "it ended again", remedy="", line="", now=NOW)
    assert one.fatal is not None
    assert one.fatal.due == NOW + 0.5
    found = end(one)
    assert (found.rule, found.severity, found.seconds) == ("qemu-ended", Severity.FATAL, 10.0)
    assert found.context == ("before", "x")
    one = ledger()
    one.ended(PANICKED_RULE, Stage.KERNEL, "it panicked", remedy="", line="", now=NOW)
    assert one.fatal is not None
    assert one.fatal.due == NOW + 1.5, "the console's word says more, and may come later"
    tell(one, PANIC, "no milk")
    assert end(one).rule == "panic"
