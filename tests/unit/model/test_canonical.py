"""One text for equal values: what it tells apart, what it does not, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, StrEnum
from functools import partial, partialmethod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.model.canonical import canonical, digest_of
from metallize.model.scalars import Frozen
from metallize.model.written import WrittenInt


class Colour(StrEnum):
    RED = "red"


class Other(Enum):
    RED = "red"


class Model(Frozen):
    a: int = 1
    b: tuple[str, ...] = ()


@dataclass(frozen=True)
class Value:
    a: object
    derived: object = field(default=None, compare=False)


@dataclass(frozen=True)
class Twin:
    a: object
    derived: object = field(default=None, compare=False)


def named() -> None: ...


VALUES: tuple[object, ...] = (
    None,
    True,
    False,
    1,
    0,
    1.0,
    0.5,
    float("inf"),
    float("nan"),
    "1",
    "",
    "None",
    "\ud800",
    b"1",
    timedelta(seconds=1),
    timedelta(milliseconds=1),
    Colour.RED,
    Other.RED,
    "red",
    [],
    [1],
    [[1]],
    ["1"],
    [1, 2],
    [2, 1],
    {},
    {"a": 1},
    {1: "a"},
    {"a": {"b": 1}},
    {"a": [["b", 1]]},
    set(),
    {1},
    re.compile("a"),
    re.compile("a", re.IGNORECASE),
    Model(),
    Model(a=2),
    Model(b=("x",)),
    Value(1),
    Value(2),
    Twin(1),
    WrittenInt(420, "0644"),
    WrittenInt(420, "420"),
    420,
    named,
    len,
)


def test_values_that_differ_have_texts_that_differ() -> None:
    texts = [canonical(value) for value in VALUES]
    assert len(set(texts)) == len(texts)
    assert all(text.isascii() for text in texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}),
        ({"x", "y", "z"}, frozenset({"z", "y", "x"})),
        ((1, 2), [1, 2]),
        (Model(), Model(a=1, b=())),
        (Value(1, derived=lambda: 1), Value(1, derived=object())),
    ],
)
def test_equal_values_have_one_text(one: object, other: object) -> None:
    assert canonical(one) == canonical(other)


def test_a_path_is_its_content_wherever_that_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("one")
    (tmp_path / "c").write_text("other")
    a, b, c = (canonical(tmp_path / name) for name in "abc")
    assert a == b != c


class Odd:
    def method(self) -> None: ...


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Odd(),
        Odd,
        Value,
        Odd().method,
        [1].count,
        {}.get,
        lambda: 1,
        partial(named),
        partialmethod(named),
        [object()],
        {"a": object()},
        Value(object()),
        Path("/nowhere/at/all"),
        Path("/"),
        Text("a"),
        iter([1]),
        range(3),
        bytearray(b"a"),
    ],
)
def test_what_it_does_not_know_it_refuses(value: object) -> None:
    with pytest.raises(TypeError, match=r"has no canonical form|stands for nothing|has no name by which"):
        canonical(value)


def nested(times: int) -> object:
    value: object = None
    for _ in range(times):
        value = [value]
    return value


def test_what_is_nested_200_times_has_a_text_and_no_more() -> None:
    assert canonical(nested(200)).count("list") == 200
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(nested(201))


def test_what_is_in_itself_has_no_text() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(loop)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(one=PLAIN, other=PLAIN)
def test_the_digest_is_the_same_for_the_same_value_only(one: object, other: object) -> None:
    assert (digest_of(one) == digest_of(other)) is (_typed(one) == _typed(other))


def _typed(value: object) -> object:
    """The value with its types, as 1, 1.0 and True are one to Python."""
    if isinstance(value, dict):
        return dict, {key: _typed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple, tuple(_typed(item) for item in value)
    return type(value), repr(value)
