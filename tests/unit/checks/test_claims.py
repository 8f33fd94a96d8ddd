"""From fields to claims: what was not seen is no value, and what is not there hides no more than it has to."""

from __future__ import annotations

import pytest

from metallize.checks.claims import Attribute, Fields, Unseen, judge_all, judge_existing, judged, read_fields
from metallize.checks.matchers import EqualBool, EqualText, Matcher
from metallize.checks.values import Value
from metallize.model.kind import Claim, Observation

YES = EqualBool(True)


def fields(stdout: str, stderr: str = "", status: int = 0) -> Fields:
    return read_fields(Observation(status=status, stdout=stdout, stderr=stderr, seconds=0))


def attribute(expected: Matcher | None, actual: Value | Unseen, note: str = "") -> Attribute:
    return Attribute(name="x", expected=expected, actual=actual, note=note)


def claim(expected: Matcher, actual: Value | Unseen, note: str = "") -> Claim:
    found = judged(attribute(expected, actual, note))
    assert found is not None
    return found


def test_a_field_is_the_line_of_its_name() -> None:
    read = fields("\n value of nothing\na 1\r\na 1\nb -3\nc yes\nd no\ne")
    assert read.values == {"a": "1", "b": "-3", "c": "yes", "d": "no", "e": ""}
    assert (read.text("a"), read.number("a"), read.number("b"), read.truth("c"), read.truth("d")) == (
        "1",
        1,
        -3,
        True,
        False,
    )
    assert read.contents is None
    assert fields("a 1\n--contents--\n").contents == ""


def test_a_field_of_which_two_things_are_said_was_not_seen() -> None:
    read = fields("a 1\nb yes\na 2\nb no\na 1\nc yes\n")
    assert read.values == {"a": "1", "b": "yes", "c": "yes"}
    assert read.twofold == {"a", "b"}
    for seen in (read.text("a"), read.number("a"), read.truth("b")):
        assert isinstance(seen, Unseen)
    assert read.text("a") == Unseen(reason="the probe said two things of its a")
    assert read.truth("c") is True


def test_a_field_that_is_not_there_says_why() -> None:
    silent = "the probe said nothing of it (status 7)"
    for stderr, why in (("", silent), (" \n", silent), ("no rights\n", "no rights")):
        read = fields("a many\nb \n", stderr, status=7)
        assert read.text("z") == read.number("z") == read.truth("z") == read.number("a") == Unseen(reason=why)
        assert read.truth("b") == Unseen(reason=why)
        assert read.truth("a") == Unseen(reason="many")


def test_what_the_guest_complained_of_is_cut_at_its_beginning() -> None:
    assert fields("", "x" + "y" * 300).trouble == "y" * 300


def test_what_was_not_seen_is_told_from_what_is_wrong() -> None:
    dark = claim(YES, Unseen(reason="no rights"), "a note")
    assert (dark.holds, dark.unseen, dark.skipped, dark.actual, dark.note) == (
        False,
        True,
        False,
        "not seen",
        "no rights; a note",
    )
    wrong = claim(YES, False, "a note")
    assert (wrong.holds, wrong.unseen, wrong.actual, wrong.note) == (False, False, "false", "a note")


def test_what_holds_needs_no_note() -> None:
    good = claim(YES, True, "a note")
    assert (good.holds, good.unseen, good.skipped, good.note) == (True, False, False, "")
    assert judged(attribute(None, True)) is None
    assert len(list(judge_all((attribute(None, True), attribute(YES, True))))) == 1


def existing(exists: Matcher | None, actual: Value | Unseen) -> list[tuple[str, bool, bool, str]]:
    rest = (
        Attribute(name="mode", expected=EqualText("0644"), actual="0600"),
        Attribute(name="owner", expected=None, actual="root"),
    )
    claims = judge_existing(Attribute(name="exists", expected=exists, actual=actual), rest)
    return [(each.attribute, each.holds, each.skipped, each.note) for each in claims]


@pytest.mark.parametrize(
    ("expected", "actual", "holds", "note"),
    [
        (YES, False, False, "not looked at: exists is not as it should be"),
        (EqualBool(False), True, False, "not looked at: exists is not as it should be"),
        (EqualBool(False), False, True, "it is not there"),
    ],
)
def test_what_is_not_there_has_no_attributes(expected: Matcher, actual: Value, holds: bool, note: str) -> None:
    head, mode = existing(expected, actual)
    assert head[:3] == ("exists", holds, False)
    assert mode == ("mode", True, True, note)


def test_what_is_not_there_and_was_not_asked_for_has_none_either() -> None:
    assert existing(None, False) == [("mode", True, True, "it is not there")]


@pytest.mark.parametrize("expected", [YES, None])
def test_what_is_there_is_looked_at(expected: Matcher | None) -> None:
    assert [each[:3] for each in existing(expected, True)][-1] == ("mode", False, False)
    assert len(existing(expected, True)) == (2 if expected else 1)


def test_what_may_be_there_is_not_skipped_where_nobody_asked() -> None:
    assert existing(None, Unseen(reason="no rights")) == [("mode", False, False, "")]
    head, mode = existing(YES, Unseen(reason="no rights"))
    assert (head[1], mode[1:3]) == (False, (True, True))
