"""SOURCE_DATE_EPOCH as somebody sets it, with every way of setting it wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.epoch import LATEST, VARIABLE, source_date_epoch
from metallize.errors import ExitCode, UsageError


@pytest.mark.parametrize(
    ("environment", "epoch"),
    [
        ({}, None),
        ({VARIABLE: ""}, None),
        ({VARIABLE: "0"}, 0),
        ({VARIABLE: "1700000000"}, 1_700_000_000),
        ({VARIABLE: "007"}, 7),
        ({VARIABLE: "0" * 6000 + "7"}, 7),
        ({VARIABLE: str(LATEST)}, LATEST),
    ],
)
def test_what_counts(environment: dict[str, str], epoch: int | None) -> None:
    assert source_date_epoch(environment) == epoch


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-01-01", "1.5", "-1", "+1", " 1", "1\n", "1_000", "0x10", "1e9", "١٢", "²", "1;reboot", "\0"],
)
def test_what_is_no_date_is_bad_input(text: str) -> None:
    with pytest.raises(UsageError, match="no number of seconds since 1970") as caught:
        source_date_epoch({VARIABLE: text})
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert caught.value.message.startswith(f"{VARIABLE} in the environment is `")
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", [str(LATEST + 1), "1700000000000", "9" * 5000])
def test_a_date_that_no_image_can_hold_is_bad_input(text: str) -> None:
    with pytest.raises(UsageError, match="later than 2106") as caught:
        source_date_epoch({VARIABLE: text})
    assert len(caught.value.message) < 200


@given(st.text())
def test_any_text_is_a_date_or_bad_input(text: str) -> None:
    try:
        found = source_date_epoch({VARIABLE: text})
    except UsageError:
        return
    assert found is None if not text else 0 <= (found or 0) <= LATEST
