"""What a dockerfile asks of the BuildKit that reads it, and whether this host's Docker engine has it.

BuildKit's reading of dockerfiles is part of the Docker engine, and `# syntax=` has it fetch another one from a
registry. Source: Dockerfile reference (the minimum version of each flag), release notes of Docker Engine and BuildKit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from metallize.build.dockerfile.lines import Instruction, Reading, Remark, triggered

Version = tuple[int, int]

BUILT_IN: tuple[tuple[int, Version], ...] = (
    (20, (1, 2)), (23, (1, 4)), (24, (1, 5)), (25, (1, 6)), (26, (1, 7)), (27, (1, 8)), (28, (1, 14)), (29, (1, 19)),
)  # fmt: skip
"""For each major version of the Docker engine, the Dockerfile syntax that its first release reads by itself."""
_FLAGS: dict[tuple[str, str], Version] = {
    ("COPY", "link"): (1, 4), ("ADD", "link"): (1, 4), ("ADD", "checksum"): (1, 6), ("RUN", "network"): (1, 3),
    ("HEALTHCHECK", "start-interval"): (1, 6), ("ADD", "unpack"): (1, 17), ("COPY", "exclude"): (1, 19),
    ("ADD", "exclude"): (1, 19), ("COPY", "parents"): (1, 20), ("RUN", "security"): (1, 20),
}  # fmt: skip
_MODIFIERS: tuple[tuple[str, Version], ...] = (
    (r"\$\{\w+[-+?]", (1, 6)),
    (r"\$\{\w+[#%/]", (1, 7)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A feature that a line asks for, and the Dockerfile syntax that first had it."""

    line: int
    what: str
    since: Version
    instead: str
    """What to write where it is not to be had."""


def demands(reading: Reading) -> Iterator[Demand]:
    """Every feature that not all engines of today have."""
    for outer in reading.instructions:
        each = triggered(outer, reading.escape) if outer.word == "ONBUILD" else outer
        if each.heredocs:
            apart = any(document.apart for document in each.heredocs)
            yield Demand(
                line=each.line,
                what="a blank between `<<` and the here-document's name" if apart else "a here-document",
                since=(1, 16) if apart else (1, 4),
                instead="leave the blank out"
                if apart
                else "write the lines into a file of the context, or use `&& \\`",
            )
        for flag in each.flags:
            name = flag[2:].partition("=")[0]
            if (each.word, name) in _FLAGS:
                yield _demand(each, f"{each.word} --{name}", _FLAGS[each.word, name])
        if each.word in ("CMD", "ENTRYPOINT", "RUN") and re.match(r"\[.*\]\s*[^\s\]]", each.arguments, re.DOTALL):
            yield Demand(
                line=each.line, what="what follows the `]` and leaves it away", since=(1, 10), instead="leave it away"
            )
        if outer.word == "ONBUILD" and each.word == "COPY" and each.flag("from"):
            yield _demand(outer, "ONBUILD COPY --from", (1, 11))
        if each.word in ("ENV", "ARG", "LABEL", "USER", "WORKDIR", "COPY", "ADD", "FROM"):
            for pattern, since in _MODIFIERS:
                if match := re.search(pattern, each.arguments):
                    yield _demand(each, f"the modifier in `{match[0]}...}}`", since)


def _demand(each: Instruction, what: str, since: Version) -> Demand:
    return Demand(line=each.line, what=what, since=since, instead="do without it")


def shortfalls(reading: Reading, engine_version: str) -> tuple[Remark, ...]:
    """What keeps this engine from building the dockerfile by itself, each with the action; empty where nothing does.

    `engine_version` is the server's, as `docker version` tells it. An unknown one lacks nothing that we know of.
    """
    syntax = next((each for each in reading.directives if each.name == "syntax"), None)
    own = built_in(engine_version)
    if syntax is not None:
        needed = max((each.since for each in demands(reading)), default=(1, 0))
        enough = own is not None and needed <= own
        action = f"this engine reads the file by itself, so take the line away, or {_have(syntax.value)}"
        if not enough:
            action = f"{_have(syntax.value)}; without it the file needs {_engine(needed)}"
        message = f"`# syntax={syntax.value}` has BuildKit fetch the image {syntax.value.split()[0]} to read this file"
        return (Remark(line=syntax.line, message=message, hint=action),)
    if own is None:
        return ()
    return tuple(
        Remark(
            line=each.line,
            message=f"Docker {engine_version} does not read {each.what}",
            hint=f"it takes {_engine(each.since)}, or `# syntax=docker/dockerfile:1` in the first line and a registry"
            f" that has it; or {each.instead}",
        )
        for each in demands(reading)
        if each.since > own
    )


def frontend_image(reading: Reading) -> str | None:
    """The image that `# syntax=` names, which the engine has or fetches."""
    return next((each.value.split()[0] for each in reading.directives if each.name == "syntax"), None)


def built_in(engine_version: str) -> Version | None:
    """The Dockerfile syntax of an engine such as 20.10.24+dfsg1; None where the version says nothing."""
    match = re.match(r"v?(\d+)\.", engine_version)
    major = int(match[1]) if match and len(match[1]) < 5 else 0  # noqa: PLR2004 - a version, and not a date
    return max((syntax for engine, syntax in BUILT_IN if engine <= major), default=None)


def _engine(needed: Version) -> str:
    number = next((engine for engine, syntax in BUILT_IN if needed <= syntax), None)
    return f"Docker {number}" if number else f"an engine with Dockerfile syntax {needed[0]}.{needed[1]}"


def _have(image: str) -> str:
    return f"see that its registry answers or load the image (`docker pull {image.split(maxsplit=1)[0]}`)"
