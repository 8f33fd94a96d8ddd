"""Whatever a guest says, a matcher holds or not: no number is too long to be judged, no text too odd."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.checks.claims import Unseen, read_fields
from metallize.checks.collection_matchers import HaveLen
from metallize.checks.semver import parse_version
from metallize.checks.values import Mismatch, as_number
from metallize.model.kind import Observation

ENDLESS = "9" * 5000


@given(st.one_of(st.text(), st.from_regex(r"[+-]?[0-9]{1,6000}", fullmatch=True)))
def test_a_text_is_a_number_or_is_none(text: str) -> None:
    with suppress(Mismatch):
        assert isinstance(as_number(text), int | float)


def test_a_number_without_end_is_none() -> None:
    with pytest.raises(Mismatch, match="5000 characters"):
        as_number(ENDLESS)
    assert parse_version(f"{ENDLESS}.0.0") is None
    seen = Observation(status=0, stdout=f"count {ENDLESS}\n", stderr="", seconds=0.0)
    assert isinstance(read_fields(seen).number("count"), Unseen)


def test_half_a_surrogate_pair_has_a_length() -> None:
    assert HaveLen(length=3).holds("\ud800")
