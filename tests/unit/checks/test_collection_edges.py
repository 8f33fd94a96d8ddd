"""Lists, mappings, versions and JSON at their limits, and of values that they were not made for."""

from __future__ import annotations

import pytest

from metallize.checks.collection_matchers import AssertsNothing, HaveKeyWithValue, SemverConstraint
from metallize.checks.matchers import EqualNumber
from metallize.checks.semver import Version
from metallize.checks.values import Mismatch, Value
from tests.unit.checks.test_matchers import ANY, LINES


def test_an_empty_text_has_no_line_that_could_be_empty() -> None:
    blank = LINES.validate_python(["/^$/"])
    assert not blank.holds("")
    assert blank.holds("\n")


@pytest.mark.parametrize("actual", ["", (), None, {}])
def test_an_empty_list_asserts_nothing_of_anything(actual: Value) -> None:
    assert AssertsNothing().holds(actual) is True


def test_only_contain_element_says_that_it_could_look_at_none() -> None:
    one = ANY.validate_python({"contain-element": {"gt": 1}})
    assert one.holds(("many", 2))
    assert one.holds((2, "many"))
    assert one.holds((0, 2))
    assert not one.holds((0, 1))
    assert not one.holds(())
    with pytest.raises(Mismatch):
        one.holds(("many",))
    assert ANY.validate_python({"contain-elements": [{"gt": 1}]}).holds(("many",)) is False
    assert ANY.validate_python({"consist-of": [{"gt": 1}]}).holds(("many",)) is False


def test_as_many_as_expected_and_no_more() -> None:
    matcher = ANY.validate_python({"consist-of": ["a", {"have-prefix": "a"}]})
    assert matcher.holds(("ab", "a")) is True
    assert matcher.holds(("a", "ab", "ac")) is False
    assert matcher.holds(("a",)) is False


def test_only_what_is_wrong_is_explained() -> None:
    matcher = ANY.validate_python({"consist-of": ["a", "b"]})
    assert matcher.explain(("a", "b", "c")) == 'not expected: ["c"]'
    assert matcher.explain(("a",)) == 'missing: "b"'
    assert ANY.validate_python({"contain-elements": ["a"]}).explain(("b",)) == 'missing: "a"'


def test_a_key_with_a_value() -> None:
    matcher = HaveKeyWithValue("a", EqualNumber(1, "1"))
    assert matcher.holds({"a": 1, "b": 2}) is True
    assert matcher.holds({"a": 2}) is False
    assert matcher.holds({"b": 1}) is False
    for actual in ("a", ("a",), 1):
        with pytest.raises(Mismatch, match="has no keys"):
            matcher.holds(actual)


def test_a_range_of_versions() -> None:
    matcher = ANY.validate_python({"semver-constraint": ">1.0.0"})
    assert matcher.holds("1.0.1") is True
    actual: Value
    for actual in ((), ("1.0.1", 2), (2,), ("1.0.1", "x"), "1.0.1\n1.0.2", "x"):
        with pytest.raises(Mismatch, match="is no version"):
            matcher.holds(actual)


def test_two_ranges_of_one_source_are_equal() -> None:
    def first(version: Version) -> bool:
        return bool(version)

    def second(version: Version) -> bool:
        return not version

    assert SemverConstraint(">1.0.0", first) == SemverConstraint(">1.0.0", second)
    assert SemverConstraint(">1.0.0", first) != SemverConstraint(">1.0.1", first)


@pytest.mark.parametrize("actual", [5, None, ("{}",), {"x": 1}])
def test_what_is_no_text_is_no_json(actual: Value) -> None:
    matcher = ANY.validate_python({"gjson": {"x": 1}})
    with pytest.raises(Mismatch, match="is no text"):
        matcher.holds(actual)
