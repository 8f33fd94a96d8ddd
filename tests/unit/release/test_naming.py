"""Which of two versions is the newer one, and what a release is called."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.model.profile import ImageFormat, Platform, release_name_for
from metallize.release.naming import compare, newest_first, next_version, stem

VERSIONS = st.from_regex(r"[0-9][0-9A-Za-z.~-]{0,12}", fullmatch=True)


def sign(one: str, other: str) -> int:
    found = compare(one, other)
    return (found > 0) - (found < 0)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_it_is_an_order(one: str, other: str, third: str) -> None:
    assert sign(one, one) == 0
    assert sign(one, other) == -sign(other, one)
    if sign(one, other) >= 0 and sign(other, third) >= 0:
        assert sign(one, third) >= 0


@given(st.text(), st.text())
def test_anything_is_compared(one: str, other: str) -> None:
    assert sign(one, other) == -sign(other, one)


def test_numbers_count_as_numbers_however_long() -> None:
    assert sorted(["20261130.2", "20261201.1", "20261130.10"], key=newest_first) == [
        "20261201.1",
        "20261130.10",
        "20261130.2",
    ]
    assert sign("1" * 5000, "1" * 5001) == -1
    assert sign("1.0~rc1", "1.0") == -1


def test_the_next_of_a_day() -> None:
    day = date(2026, 11, 30)
    assert next_version(day, []) == "20261130.1"
    assert next_version(day, ["20261130.9", "20261130.10", "20261129.99", "20261130.x", "1.0"]) == "20261130.11"


@pytest.mark.parametrize(
    ("file", "name"), [("web.raw", "web"), ("a_b.iso", "a-b"), ("web.1.qcow2", "web.1"), ("x+y.img", "x+y")]
)
def test_the_name_of_a_release(file: str, name: str) -> None:
    assert release_name_for(file) == name
    assert stem(name, "1", Platform.ARM64, ImageFormat.ISO) == f"{name}_1_arm64.iso"
