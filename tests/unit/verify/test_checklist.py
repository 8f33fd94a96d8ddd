"""The checklist: nothing settles twice, nothing is forgotten, and what nobody settled does not pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metallize.model.kind import Claim
from metallize.model.report import Result, Status
from metallize.verify.checklist import AFTER_REBOOT, Checklist, at_moment
from tests.unit.report.test_report import PASSED
from tests.unit.verify.entries import entry

ONE, TWO = entry("one"), entry("two")


def held() -> Result:
    return ONE.judged(Claim(attribute="x", expected="1", actual="1", holds=True))


def test_an_entry_is_settled_once() -> None:
    checklist = Checklist([ONE])
    checklist.settle(held())
    with pytest.raises(AssertionError, match="settled already"):
        checklist.settle(held())


def test_what_is_not_on_the_list_is_not_settled() -> None:
    with pytest.raises(AssertionError, match="not on the checklist"):
        Checklist([TWO]).settle(held())


def test_no_two_entries_have_one_id() -> None:
    with pytest.raises(AssertionError, match="two entries"):
        Checklist([ONE, TWO, ONE])


def test_what_nobody_settles_is_unseen_and_the_order_is_kept() -> None:
    checklist = Checklist([TWO, ONE])
    checklist.settle(held())
    results = checklist.results("the boot had failed")
    assert [(each.title, each.status, each.note) for each in results] == [
        ("two", Status.UNSEEN, "the boot had failed"),
        ("one", Status.HELD, ""),
    ]
    assert checklist.holds_so_far
    assert not checklist.passed
    assert checklist.is_settled(ONE.id)
    assert not checklist.is_settled(TWO.id)


def test_a_list_of_nothing_proves_nothing() -> None:
    assert not Checklist([]).passed


def test_only_what_held_or_is_skipped_passes() -> None:
    wrong = ONE.judged(Claim(attribute="x", expected="1", actual="2", holds=False))
    for result, passes in ((held(), True), (ONE.skipped("so"), True), (ONE.unseen("no"), False), (wrong, False)):
        checklist = Checklist([ONE])
        checklist.settle(result)
        assert (checklist.passed, checklist.holds_so_far) == (passes, passes), result


def test_claims_make_a_status() -> None:
    good = Claim(attribute="x", expected="1", actual="1", holds=True)
    bad = Claim(attribute="x", expected="1", actual="2", holds=False)
    dark = Claim(attribute="x", expected="1", actual="", holds=False, unseen=True)
    left = Claim(attribute="x", expected="1", actual="", holds=True, skipped=True)
    for claims, status in (
        ((), Status.UNSEEN),
        ((good,), Status.HELD),
        ((good, bad), Status.FAILED),
        ((good, dark), Status.UNSEEN),
        ((dark, bad), Status.FAILED),
        ((left, left), Status.SKIPPED),
        ((left, good), Status.HELD),
    ):
        assert ONE.judged(*claims).status is status, claims


def test_a_later_boot_has_entries_of_its_own() -> None:
    again = AFTER_REBOOT.entry("ssh/login", "ssh login", "ssh")
    assert (again.id, again.title, again.phase) == ("reboot/ssh/login", "ssh login after a reboot", "ssh")


def test_a_boot_of_what_a_power_cut_left_has_its_moments_number() -> None:
    first, second = (at_moment(number).entry("update/version", "the version is there", "update") for number in (1, 2))
    assert (first.id, second.id) == ("moment-1/update/version", "moment-2/update/version")
    assert second.title == "the version is there at moment 2"


def test_an_entry_is_found_by_its_id() -> None:
    checklist = Checklist([ONE, TWO])
    assert ONE.id in checklist
    assert "boot/kind/three" not in checklist
    assert checklist[TWO.id] is TWO
    with pytest.raises(KeyError):
        checklist["boot/kind/three"]
    assert checklist.entries == (ONE, TWO)


def test_one_that_failed_is_not_made_good_by_another() -> None:
    checklist = Checklist([ONE, TWO])
    checklist.settle(held(), TWO.unseen("no"))
    assert not checklist.holds_so_far
    assert not checklist.passed


def test_only_what_does_not_hold_counts_against_a_boot() -> None:
    failing = ONE.judged(Claim(attribute="x", expected="1", actual="2", holds=False))
    unseen, skipped = TWO.unseen("no"), TWO.skipped("so")
    report = replace(PASSED, results=(held(), unseen, skipped, failing))
    assert report.failed_results == (failing, unseen)


def test_a_result_says_where_the_profile_says_so() -> None:
    here = entry("here", location="x.yaml:3:1")
    assert (here.judged().location, here.judged(location="x.yaml:9:1").location) == ("x.yaml:3:1", "x.yaml:9:1")
    assert (ONE.judged().location, ONE.judged(location="x.yaml:9:1").location) == ("", "x.yaml:9:1")


def test_a_result_takes_the_seconds_it_took_to_the_millisecond() -> None:
    assert ONE.judged(seconds=1.23456).seconds == 1.235
    assert (ONE.judged().seconds, ONE.unseen("no").seconds, ONE.unseen("no", seconds=2).seconds) == (0, 0, 2)
