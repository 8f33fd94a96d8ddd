"""matching: content that stands in the goss file itself, against a matcher; nothing is looked at in the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, ValidationInfo, model_validator

from metallize.checks.claims import Attribute, judge_all
from metallize.checks.decoding import MATCHER_SCHEMA, decode_lines, decode_value
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.checks.matchers import Matcher
from metallize.checks.values import as_text
from metallize.model.kind import Flag, ResourceOptions


def _decode(raw: object, info: ValidationInfo) -> Matcher:
    """With as-reader, a list is one of line patterns, as it is for a file's contents."""
    return decode_lines(raw, info) if info.data.get("as_reader") else decode_value(raw, info)


class MatchingOptions(ResourceOptions):
    """The attributes of one comparison; its key is only a label."""

    content: Annotated[Any, Field(description="what is matched: text, a number, a list or a mapping")]
    as_reader: Annotated[
        Flag, Field(alias="as-reader", description="true: as the contents of a file, so that a list is of patterns")
    ] = False
    matches: Annotated[Matcher, PlainValidator(_decode), MATCHER_SCHEMA]

    @model_validator(mode="after")
    def _reads_text(self) -> Self:
        if self.as_reader and isinstance(self.content, list | dict):
            raise ValueError("with as-reader, the content is text")
        return self


def _observe(_resource: str, _options: MatchingOptions) -> str:
    return ""


def _compare(_resource: str, options: MatchingOptions, _observation: Observation) -> Iterator[Claim]:
    content = as_text(options.content) if options.as_reader else options.content
    yield from judge_all((Attribute(name="matches", expected=options.matches, actual=content),))


KIND = ResourceKind(
    name="matching",
    summary="content of the goss file itself against a matcher, with no look at the guest",
    options=MatchingOptions,
    example="a version:\n  content: 1.9.9\n  matches: {semver-constraint: '>1.0.0 <2.0.0'}\n",
    observe=_observe,
    compare=_compare,
)
