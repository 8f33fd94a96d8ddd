"""goss's matchers, over values as goss's documentation and its own tests show them."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import PlainValidator, TypeAdapter

from metallize.checks.decoding import ExpectedLines, ExpectedMode, ExpectedNumber, decode_value
from metallize.checks.matchers import Matcher
from metallize.checks.values import Mismatch, Value

ANY: TypeAdapter[Matcher] = TypeAdapter(Annotated[Matcher, PlainValidator(decode_value)])
LINES: TypeAdapter[Matcher] = TypeAdapter(ExpectedLines)
JSON = json.dumps({"foo": "bar", "moo": {"nested": "cow"}, "count": "15", "list": [{"n": 1}, {"n": 2}], "t": True})

HOLDS: list[tuple[object, Value]] = [
    # the defaults, by the type of what is expected
    ("foo", "foo"),
    ("55", 55),
    ("true", True),
    ("42", 42.0),
    (42, 42),
    (42, "42"),
    (42, " 42\n"),
    (42.0, "42"),
    (True, True),
    (["group1", "group2"], ("group1", "group2", "group3")),
    # strings
    ({"have-prefix": "4"}, 42),
    ({"have-suffix": "2"}, 42),
    ({"match-regexp": r"^\d{2}$"}, 42),
    ({"match-regexp": "(?i)LINUX"}, "linux"),
    ({"contain-substring": "2"}, 42),
    # numbers
    ({"gt": 40}, "42"),
    ({"ge": 42}, 42),
    ({"lt": 45}, 42),
    ({"le": 42.5}, 42),
    # lists
    ({"contain-element": "foo"}, ("foo", "bar")),
    ({"contain-element": {"have-prefix": "b"}}, ("foo", "bar")),
    ({"contain-element": "b"}, "a\nb\nc"),
    ({"contain-elements": ["foo", "bar"]}, ("foo", "bar", "moo")),
    ({"contain-elements": ["a", {"have-prefix": "c"}]}, "a\nb\nc"),
    ({"equal": ["foo", "bar"]}, ("foo", "bar")),
    ({"consist-of": ["foo", {"have-prefix": "m"}, "bar"]}, ("moo", "foo", "bar")),
    ({"consist-of": [{"have-prefix": "m"}, "moo"]}, ("moo", "mow")),
    ({"contain-element": 2}, (1, 2)),
    # the others
    ({"have-len": 3}, "foo"),
    ({"have-len": 2}, ("a", "b")),
    ({"have-len": 1}, {"a": 1}),
    ({"have-key": "baz"}, {"foo": "bar", "baz": "bing"}),
    ({"have-key": {"have-prefix": "f"}}, {"foo": 1}),
    ({"not": "FAIL"}, "OK"),
    ({"not": {"contain-element": "x"}}, ("a",)),
    ({"and": ["42", {"have-prefix": "4"}, {"gt": 41}]}, 42),
    ({"or": ["a", "b"]}, "b"),
    ({"semver-constraint": ">1.0.0 <2.0.0 !=1.5.0"}, ("1.0.1", "1.9.9")),
    ({"semver-constraint": ">5.0.0 || < 1.5.0"}, "1.0.1"),
    ({"not": {"semver-constraint": ">1.0.0 <2.0.0 !=1.5.0"}}, ("1.0.1", "1.5.0", "1.9.9")),
    ({"have-patterns": ["foo", "!bar"]}, "foo\nbaz"),
    ({"gjson": {"moo.nested": "cow"}}, JSON),
    ({"gjson": {"foo": {"have-prefix": "b"}, "count": {"le": 25}}}, JSON),
    ({"gjson": {"@this": {"have-key": "foo"}}}, JSON),
    ({"gjson": {"moo": {"and": [{"have-key": "nested"}, {"not": {"have-key": "nested2"}}]}}}, JSON),
    ({"gjson": {"list.#": 2}}, JSON),
    ({"gjson": {"list.#.n": {"consist-of": [1, 2]}}}, JSON),
    ({"gjson": {"t": True}}, JSON),
]

FAILS: list[tuple[object, Value]] = [
    ("foo", "foo\n"),
    (True, False),
    (True, "true"),
    (1, "2"),
    (["a", "a"], ("a", "b")),
    ({"have-prefix": "x"}, "ax"),
    ({"match-regexp": "foo$"}, "foo\n"),
    ({"equal": ["bar", "foo"]}, ("foo", "bar")),
    ({"equal": True}, 1),
    ({"consist-of": ["a"]}, ("a", "b")),
    ({"consist-of": ["a", "b"]}, ("a",)),
    ({"have-len": 3}, "fo"),
    ({"not": "OK"}, "OK"),
    ({"and": ["a", "b"]}, "a"),
    ({"or": ["a", "b"]}, "c"),
    ({"gt": 40}, "39"),
    ({"semver-constraint": ">1.0.0"}, ("1.0.1", "0.9.0")),
    ({"gjson": {"moo.nested": "pig"}}, JSON),
]

CANNOT: list[tuple[object, Value]] = [
    ({"gt": 1}, "many"),
    ({"not": {"gt": 1}}, "many"),
    (5, "five"),
    (["a"], "a"),
    ({"have-len": 1}, 5),
    ({"have-key": "a"}, "a"),
    ({"semver-constraint": ">1.0.0"}, "1.0"),
    ({"gjson": {"x": 1}}, "no json"),
    ({"gjson": {"x": 1}}, "{}"),
    ({"not": {"gjson": {"x": 1}}}, "{}"),
]


@pytest.mark.parametrize(("expected", "actual"), HOLDS)
def test_holds(expected: object, actual: Value) -> None:
    matcher = ANY.validate_python(expected)
    assert matcher.holds(actual)
    assert str(matcher)


@pytest.mark.parametrize(("expected", "actual"), FAILS)
def test_does_not_hold(expected: object, actual: Value) -> None:
    matcher = ANY.validate_python(expected)
    assert not matcher.holds(actual)
    assert isinstance(matcher.explain(actual), str)


@pytest.mark.parametrize(("expected", "actual"), CANNOT)
def test_cannot_be_asked(expected: object, actual: Value) -> None:
    with pytest.raises(Mismatch):
        ANY.validate_python(expected).holds(actual)


@pytest.mark.parametrize(
    ("patterns", "text", "missing"),
    [
        (["foo", "!bar", "/[Gg]oss/"], "a foo\nGoss\n", ""),
        (["foo"], "", 'no line holds "foo"'),
        (["!foo"], "", ""),
        (["!foo"], "a foo\n", 'a line holds "foo"'),
        (["\\!foo"], "say !foo", ""),
        (["\\/foo"], "a foo", ""),
        (["/^b$/"], "a\nb\nc\n", ""),
        (["/B/i"], "b", ""),
        (["!/^b$/"], "a\nb\nc\n", 'a line holds "/^b$/"'),
        (["a.c"], "abc", 'no line holds "a.c"'),
        (["/a\nb/"], "a\nb", 'no line holds "/a\\nb/"'),
        ([""], "", ""),
        (["/etc/passwd"], "see etc/passwd here", ""),
        (["b"], "a\r\nb\r\n", ""),
        (["/b$/"], "a\r\nb\r\n", ""),
    ],
)
def test_line_patterns(patterns: list[str], text: str, missing: str) -> None:
    matcher = LINES.validate_python(patterns)
    assert matcher.holds(text) is not bool(missing)
    assert matcher.explain(text) == missing


def test_what_is_missing_is_named() -> None:
    matcher = ANY.validate_python({"consist-of": ["a", "b"]})
    assert matcher.explain(("a", "c")) == 'missing: "b"; not expected: ["c"]'
    assert ANY.validate_python({"and": [{"gt": 1}, {"lt": 3}]}).explain(5) == "not so: < 3"
    assert ANY.validate_python("Linux").explain("Linux\n").startswith("only the line break at the end differs")


@pytest.mark.parametrize("written", ["0644", "644", "00644", "0o644", 644])
def test_a_mode_may_be_written_in_any_way(written: object) -> None:
    assert TypeAdapter(ExpectedMode).validate_python(written).holds("0644")


def test_a_number_may_be_text_where_goss_takes_it_so() -> None:
    assert TypeAdapter(ExpectedNumber).validate_python("1000").holds(1000)
