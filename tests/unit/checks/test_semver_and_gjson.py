"""The two small languages inside goss's matchers."""

from __future__ import annotations

import pytest

from metallize.checks.gjson import JsonValue, PathNotFound, parse_path
from metallize.checks.semver import parse_constraint, parse_version


@pytest.mark.parametrize(
    ("constraint", "inside", "outside"),
    [
        ("1.2.3", "1.2.3", "1.2.4"),
        ("=1.2.3", "1.2.3+build", "1.2.4"),
        ("!1.2.3", "1.2.4", "1.2.3"),
        (">=1.0.0 <2.0.0", "1.9.9", "2.0.0"),
        ("< 2.0.0", "1.0.0", "2.0.0"),
        ("1.x", "1.7.0", "2.0.0"),
        (">1.x", "2.0.0", "1.9.0"),
        ("<=1.2.x", "1.2.9", "1.3.0"),
        ("!=1.2.x", "1.3.0", "1.2.5"),
        ("<1.x || >=3.1.x", "3.1.0", "1.0.0"),
        (">1.0.0-alpha", "1.0.0", "1.0.0-alpha"),
        (">1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-alpha.1"),
        (">1.0.0-2", "1.0.0-10", "1.0.0-1"),
    ],
)
def test_ranges(constraint: str, inside: str, outside: str) -> None:
    test = parse_constraint(constraint)
    good, bad = parse_version(inside), parse_version(outside)
    assert good is not None
    assert bad is not None
    assert test(good)
    assert not test(bad)


@pytest.mark.parametrize("text", ["", "newest", "1.2.3 ||", ">>1.0.0", "1.2", ">1.0.0,<2.0.0"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="is no range"):
        parse_constraint(text)


@pytest.mark.parametrize("text", ["1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-a..b", ""])
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


DOCUMENT: JsonValue = {
    "name": {"first": "Tom", "last": "Anderson"},
    "age": 37,
    "children": ["Sara", "Alex", "Jack"],
    "fav.movie": "Deer Hunter",
    "friends": [
        {"first": "Dale", "last": "Murphy", "age": 44, "nets": ["ig", "fb", "tw"]},
        {"first": "Roger", "last": "Craig", "age": 68, "nets": ["fb", "tw"]},
        {"first": "Jane", "last": "Murphy", "age": 47, "nets": ["ig", "tw"]},
    ],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        # the table of gjson's own SYNTAX.md
        ("name.last", "Anderson"),
        ("age", 37),
        ("children.#", 3),
        ("children.1", "Alex"),
        ("child*.2", "Jack"),
        ("c?ildren.0", "Sara"),
        (r"fav\.movie", "Deer Hunter"),
        ("friends.#.first", ["Dale", "Roger", "Jane"]),
        ("friends.1.last", "Craig"),
        ('friends.#(last=="Murphy").first', "Dale"),
        ('friends.#(last=="Murphy")#.first', ["Dale", "Jane"]),
        ("friends.#(age>45)#.last", ["Craig", "Murphy"]),
        ('friends.#(first%"D*").last', "Murphy"),
        ('friends.#(first!%"D*").last', "Craig"),
        ("friends.#(nets.0==fb)#.first", ["Roger"]),
        ('children.#(!%"*a*")', "Alex"),
        ("name|first", "Tom"),
        ("children.@reverse.0", "Jack"),
        ("name.@keys", ["first", "last"]),
        ("@this.age", 37),
    ],
)
def test_gjson_paths(path: str, found: JsonValue) -> None:
    assert parse_path(path).get(DOCUMENT) == found


@pytest.mark.parametrize("path", ["name.middle", "children.9", "age.x", 'friends.#(last=="X").first', "name.#"])
def test_gjson_paths_to_nothing(path: str) -> None:
    with pytest.raises(PathNotFound):
        parse_path(path).get(DOCUMENT)


@pytest.mark.parametrize("path", ["", "a.", "a..b", "@pretty", "{a,b}", "[a,b]", "!x", "a.#(b)c(", "a.#(["])
def test_gjson_paths_that_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="gjson path"):
        parse_path(path)
