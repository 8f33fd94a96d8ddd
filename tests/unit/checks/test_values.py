"""Values as goss makes text, numbers and lists of them, and when two are the same."""

from __future__ import annotations

import math

import pytest

from metallize.checks.values import Mismatch, Value, as_list, as_number, as_text, same, words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n", "a\n"),
        (True, "true"),
        (False, "false"),
        (42, "42"),
        (42.0, "42"),
        (42.5, "42.5"),
        (None, "<nil>"),
        (("a", 1, True), "a\n1\ntrue"),
        ((), ""),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_text(value: Value, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "number", "kind"),
    [
        (42, 42, int),
        (42.5, 42.5, float),
        (" 42\n", 42, int),
        ("-42", -42, int),
        ("+.5", 0.5, float),
        ("4.", 4.0, float),
        ("1e3", 1000.0, float),
        (("42",), 42, int),
        ("9007199254740993", 9007199254740993, int),
    ],
)
def test_numbers(value: Value, number: float, kind: type) -> None:
    found = as_number(value)
    assert found == number
    assert type(found) is kind


@pytest.mark.parametrize(
    "value", [True, False, None, "", "x", "0x10", "1_000", "٣", "nan", (), ("1", "2"), ("42", ""), {"1": 1}, "."]
)
def test_what_is_no_number(value: Value) -> None:
    with pytest.raises(Mismatch, match="is no number"):
        as_number(value)


def test_lists() -> None:
    assert as_list("a\nb") == ["a", "b"]
    assert as_list({"x": 1, "y": 2}) == [1, 2]
    assert as_list((1, 2)) == (1, 2)
    for value in (5, None, True):
        with pytest.raises(Mismatch, match="is no list"):
            as_list(value)


def test_words_of_a_report() -> None:
    assert words('ü"') == '"ü\\""'
    assert words(("a", 1)) == '["a", 1]'
    assert words({"a": ("b", None)}) == '{a: ["b", nothing]}'
    assert (words(None), words(True), words(2.0)) == ("nothing", "true", "2")


def test_words_are_cut_where_they_are_long() -> None:
    assert words("x" * 298) == f'"{"x" * 298}"'
    cut = words("x" * 299)
    assert (len(cut), cut[-1]) == (300, "…")
    assert words("abc", limit=4) == '"ab…'


SAME: list[tuple[Value, Value]] = [
    (1, 1.0),
    ("a", "a"),
    (None, None),
    (True, True),
    ((1, ("a",)), [1, ["a"]]),
    ({"a": (1,), "b": 2}, {"b": 2.0, "a": [1]}),
    ((), []),
    ({}, {}),
]
DIFFERENT: list[tuple[Value, Value]] = [
    (True, 1),
    (False, 0),
    (True, False),
    ("1", 1),
    (None, ""),
    ((1, 2), (2, 1)),
    ((1, 2), (1, 3)),
    ((1, 2), (1,)),
    (("a", "b"), "ab"),
    ((True,), (1,)),
    ((), {}),
    ((1,), 1),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}),
    ({"a": 1}, {"a": True}),
    ({"a": 1}, ("a",)),
    (math.inf, -math.inf),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_the_same(left: Value, right: Value) -> None:
    assert same(left, right) is True
    assert same(right, left) is True


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_not_the_same(left: Value, right: Value) -> None:
    assert same(left, right) is False
    assert same(right, left) is False


def test_a_number_has_at_most_so_many_digits() -> None:
    assert as_number("9" * 400) == as_number(int("9" * 400)) == int("9" * 400)
    with pytest.raises(Mismatch, match="401 characters"):
        as_number("9" * 401)
