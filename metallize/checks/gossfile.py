"""gossfile: the assertions of other goss files, brought in when the file that names them is read."""

from __future__ import annotations

from collections.abc import Iterator

from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.model.kind import Include


class GossfileOptions(Include):
    """What may be said of one included file; its key is its path, or a glob pattern."""


def _refuse(resource: str, options: GossfileOptions) -> str | None:
    path = options.file or resource
    return "a path is one line of text" if not path.strip() or "\0" in path or "\n" in path else None


def _observe(_resource: str, _options: GossfileOptions) -> str:
    return ""  # it never comes to that: config.includes has put the file's assertions in its place


def _compare(_resource: str, _options: GossfileOptions, _observation: Observation) -> Iterator[Claim]:
    yield from ()


KIND = ResourceKind(
    name="gossfile",
    summary="the assertions of another goss file, or of all that a pattern matches",
    options=GossfileOptions,
    example='"suites/*.yaml": {}\n',
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
)
