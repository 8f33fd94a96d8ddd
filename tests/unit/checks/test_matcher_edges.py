"""Matchers at their limits, and of values that they were not made for."""

from __future__ import annotations

import pytest

from metallize.checks.matchers import met
from metallize.checks.values import Mismatch, Value
from tests.unit.checks.test_matchers import ANY


@pytest.mark.parametrize(
    ("symbol", "holds"),
    [
        ("gt", (False, False, True)),
        ("ge", (False, True, True)),
        ("lt", (True, False, False)),
        ("le", (True, True, False)),
    ],
)
def test_numbers_below_at_and_above(symbol: str, holds: tuple[bool, ...]) -> None:
    matcher = ANY.validate_python({symbol: 42})
    assert tuple(matcher.holds(value) for value in (41, 42, 43)) == holds


@pytest.mark.parametrize("actual", ["many", None, (), ("1", "2"), {"a": 1}, True])
def test_what_is_no_number_is_above_and_below_none(actual: Value) -> None:
    for symbol in ("gt", "ge", "lt", "le"):
        matcher = ANY.validate_python({symbol: 0})
        with pytest.raises(Mismatch):
            matcher.holds(actual)
        assert met(matcher, actual) is False


def test_an_element_that_cannot_be_asked_is_not_the_one() -> None:
    assert not ANY.validate_python({"consist-of": [{"gt": 1}, {"gt": 1}]}).holds((2, "many"))
    assert ANY.validate_python({"consist-of": [{"gt": 1}, "many"]}).holds((2, "many"))


def test_only_a_line_break_at_the_end_is_worth_a_word() -> None:
    matcher = ANY.validate_python("Linux")
    assert matcher.explain("Linux\n") != ""
    assert [matcher.explain(value) for value in ("linux", "Linux\n\n", 5, ("Linux", ""))] == ["", "", "", ""]


@pytest.mark.parametrize("actual", [1, "true", 0, None, ("true",)])
def test_a_truth_is_no_other_value(actual: Value) -> None:
    assert not ANY.validate_python(True).holds(actual)
    assert not ANY.validate_python(False).holds(actual)
