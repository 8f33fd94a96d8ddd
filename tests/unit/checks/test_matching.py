"""matching: content of the goss file itself, as it is or as a file's contents would be."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from metallize.checks.matching import MatchingOptions
from metallize.errors import ProfileError
from tests.unit.checks.conftest import Assert, Judge


def test_a_reader_reads_text_whatever_stands_there(judge: Judge) -> None:
    text = "matching:\n  x: {{{reader}content: 42, matches: {{have-len: 2}}}}\n"
    assert judge(text.format(reader="as-reader: true, "), "")["matches"].holds
    assert not judge(text.format(reader=""), "")["matches"].holds, "by itself it is a number, and has none"


@pytest.mark.parametrize("content", ["[a]", "{a: b}"])
def test_what_is_no_text_cannot_be_read(assertion: Assert, content: str) -> None:
    with pytest.raises(ProfileError, match="with as-reader, the content is text"):
        assertion(f"matching:\n  x: {{as-reader: true, content: {content}, matches: [a]}}\n")
    assert assertion(f"matching:\n  x: {{content: {content}, matches: {{have-len: 1}}}}\n")


def test_its_options_are_checked_and_given_back() -> None:
    options = MatchingOptions.model_validate({"content": "a", "matches": "a"})
    assert not options.as_reader
    with pytest.raises(ValidationError):
        MatchingOptions.model_validate({"content": "a"})
