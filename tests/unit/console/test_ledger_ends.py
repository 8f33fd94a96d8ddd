"""What may yet prove to be a boot's end: stalls, menus, a panic that was only a word, a second kernel, a rewind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metallize.console.ledger import Ledger
from metallize.model.report import Severity
from tests.unit.console.test_ledger import FAULT, MENU, NOW, PANIC, STALL, end, hit, ledger, rule, say, tell, told


def over(of: Ledger, now: float, *, last_progress: float = NOW, silence: float = 0.0, quiet: float = 0.0) -> bool:
    of.grace_is_over(now, last_progress, silence, quiet)
    return of.fatal is not None


@pytest.mark.parametrize("slowness", [1.0, 3.0])
def test_a_stall_has_its_grace_from_what_moved_last(slowness: float) -> None:
    one = ledger(slowness=slowness)
    tell(one, STALL, "it waits")
    assert one.stall is not None
    assert one.stall.due == NOW + 15 * slowness
    assert one.pending == ("it waits",)
    assert not over(one, NOW + 15 * slowness - 1)
    assert not over(one, NOW + 15 * slowness, last_progress=NOW + 5)
    assert not over(one, NOW + 5 + 15 * slowness - 1, last_progress=NOW + 5)
    assert over(one, NOW + 5 + 15 * slowness, last_progress=NOW + 5)
    assert one.stall is None
    assert one.fatal is not None
    assert one.fatal.due == NOW + 5 + 15 * slowness, "at once"
    assert (end(one).rule, end(one).severity) == ("stall", Severity.FATAL)


def test_a_stall_is_over_once_nothing_was_printed_for_its_grace() -> None:
    one = ledger(slowness=9.0)
    tell(one, STALL, "it waits")
    assert not over(one, NOW + 14, silence=14)
    assert over(one, NOW + 15, silence=15)
    one = ledger()
    tell(one, STALL, "it waits")
    assert not over(one, NOW + 14, last_progress=NOW - 9), "from its own line on at least"
    assert over(one, NOW + 15, last_progress=NOW - 9)


@pytest.mark.parametrize(("slowness", "seconds"), [(1.0, 10.0), (3.0, 10.0), (6.0, 20.0)])
def test_a_menu_has_its_grace_from_what_was_printed_last(slowness: float, seconds: float) -> None:
    one = ledger(slowness=slowness)
    tell(one, MENU, "a menu")
    assert one.at_menu
    assert not over(one, NOW + 999, quiet=seconds - 1, silence=999)
    assert over(one, NOW + seconds, quiet=seconds)
    assert not over(ledger(), NOW + 999, quiet=999, silence=999), "where there is none"


def test_of_several_stalls_the_first_counts_and_an_error_more_than_a_menu() -> None:
    one = ledger()
    tell(one, MENU, "a menu")
    assert tell(one, MENU, "another menu") is False
    assert one.pending == ("a menu",)
    tell(one, STALL, "an error", now=NOW + 1)
    assert not one.at_menu
    tell(one, STALL, "an error", now=NOW + 2)
    assert tell(one, MENU, "a menu again", now=NOW + 2) is False
    assert one.pending == ("an error",)
    assert told(one) == [], "the same is no news"
    tell(one, STALL, "another error", now=NOW + 2)
    assert told(one) == [("stall", "another error", Severity.WARNING)]


def test_a_boot_that_goes_on_makes_a_stall_a_warning_and_a_menu_nothing() -> None:
    for stalled, left in ((STALL, [("stall", "it waits", Severity.WARNING)]), (MENU, [])):
        one = ledger()
        one.went_on()
        tell(one, stalled, "it waits")
        one.went_on()
        assert (told(one), one.stall, one.at_menu) == (left, None, False)


def test_an_end_may_be_put_by() -> None:
    one = ledger()
    one.put_by()
    assert told(one) == []
    tell(one, STALL, "it waits")
    tell(one, PANIC, "no milk")
    assert list(one.pending) == ["no milk", "it waits"]
    one.put_by()
    assert told(one) == [("panic", "no milk", Severity.WARNING)]
    assert list(one.pending) == []


def test_a_panic_after_which_somebody_goes_on_was_a_word_in_a_log() -> None:
    for after, lives in (("[  OK  ] Started it.\n", True), ("[    9.9] a trace\n", False)):
        one = ledger()
        tell(one, replace(PANIC, ends="---[ end Kernel panic"), "no milk", after=after)
        one.look(NOW + 0.8)
        assert one.fatal is not None, "not before it would count"
        one.look(NOW + 0.9)
        assert (one.fatal is None) is lives
        assert told(one) == ([("panic", "no milk", Severity.WARNING)] if lives else [])
        one.look(NOW + 1)
        assert (one.fatal is None) is lives


# --- a second kernel, and another beginning --------------------------------------------------------------------------

BANNER = rule("kernel-banner", Severity.PROGRESS)


def again(one: Ledger, latest: str, *, now: float = NOW) -> Ledger:
    """A second banner after 20 seconds of the first kernel, and what it printed by then."""
    say(one, "[   20.000000] late\n", now)
    text = "[    0.000000] Linux version 6\n"
    one.began_again(hit(BANNER, text.strip()), text, now)
    say(one, f"[{latest:>12}] on\n", now + 0.1)
    return one


@pytest.mark.parametrize(("latest", "runs"), [("1.500000", True), ("18.990000", True), ("19.000000", False)])
def test_a_kernel_that_began_is_not_where_the_first_was(latest: str, *, runs: bool) -> None:
    one = again(ledger(slowness=2.0), latest)
    assert len(one.pending) == 1
    assert not over(one, NOW + 5.9)
    assert over(one, NOW + 6) is runs
    assert not [cause for cause in one.pending if not runs]
    if runs:
        found = end(one)
        assert (found.rule, found.severity) == ("unexpected-reset", Severity.FATAL)
        assert found.context[0] == "[   20.000000] late"


def test_the_first_second_kernel_counts_and_one_after_no_first_does_not() -> None:
    one = ledger()
    text = "[    0.000000] Linux version 6\n"
    one.began_again(hit(BANNER, text.strip()), text, NOW)
    assert one.pending == (), "nothing of a kernel was seen before"
    again(one, "1.000000")
    again(one, "1.000000", now=NOW + 2)
    assert over(one, NOW + 3)


def test_where_no_time_of_a_kernel_is_seen_any_more_none_began() -> None:
    one = again(ledger(), "1.000000")
    say(one, "x\n" * 9, NOW + 1)
    assert not over(one, NOW + 3)
    assert list(one.pending) == []


def test_a_second_kernel_ends_a_boot_that_stalls_as_well() -> None:
    one = ledger()
    tell(one, STALL, "it waits")
    again(one, "1.000000")
    assert over(one, NOW + 20)
    assert end(one).rule == "unexpected-reset"
    one = ledger()
    tell(one, STALL, "it waits")
    again(one, "30.000000")
    assert over(one, NOW + 20)
    assert end(one).rule == "stall"


def test_a_machine_that_may_begin_again_has_neither_stall_nor_second_kernel() -> None:
    one = again(ledger(), "1.000000")
    tell(one, STALL, "it waits")
    one.reset()
    assert list(one.pending) == []


def test_a_guest_that_is_put_back_knows_what_it_knew() -> None:
    one = ledger()
    tell(one, FAULT, "no milk")
    kept = one.kept((), 3)
    assert [len(kept.findings), kept.known["fault"], kept.hits] == [1, {"no milk"}, {"fault": 1}]
    assert (kept.stages, kept.resets) == ((), 3)
    tell(one, FAULT, "no bread")
    again(one, "1.000000")
    tell(one, STALL, "it waits")
    tell(one, PANIC, "no butter", now=NOW + 0.2)
    assert [finding.cause for finding in one.put_back(kept)] == ["no bread"]
    assert (told(one), one.pending, list(one.recent)) == ([("fault", "no milk", Severity.FAULT)], (), [])
    say(one, "after\n", NOW + 0.3)
    assert "after" not in one.findings[0].context, "what follows is another guest's"
    tell(one, FAULT, "no milk")
    tell(one, FAULT, "no bread")
    assert [cause for _, cause, _ in told(one)] == ["no milk", "no bread"]
    assert one.kept((), 0).hits == {"fault": 3}
