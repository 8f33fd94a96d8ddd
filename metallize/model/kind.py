"""What an assertion kind is: a frozen value of options, a probe for the guest, and a judgement of what it saw.

Observing and judging are kept apart. A probe is a POSIX sh snippet that only prints; the harness runs the
probes of all assertions in one round trip, over SSH or over serial, and hands each one's output to its kind's
judgement, which is a pure function and needs no guest to be tested.

The protocol stands here, below config and catalog, because both speak of kinds and neither may import checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Protocol

from pydantic import BeforeValidator, Field, StringConstraints

from metallize.model.scalars import Frozen


def _yaml_truth(raw: object) -> object:
    """YAML 1.1's other words for a truth, which goss's own YAML takes where a truth is wanted."""
    words = {"yes": True, "on": True, "no": False, "off": False}
    return words.get(raw.lower(), raw) if isinstance(raw, str) else raw


Flag = Annotated[bool, BeforeValidator(_yaml_truth), Field(strict=True)]
"""true or false, and nothing that merely could be meant as such."""

Milliseconds = Annotated[int, Field(strict=True, ge=0, le=3_600_000)]
"""A limit of time; 0 means the attribute's default, as in goss."""


class ResourceOptions(Frozen):
    """What every resource of a goss file may say, whatever its kind."""

    title: Annotated[str | None, Field(description="words for the report, in place of kind and name")] = None
    meta: Annotated[
        dict[str, object],
        Field(default_factory=dict, description="anything you want to keep beside the resource; nothing reads it"),
    ]
    skip: Annotated[Flag, Field(description="true: not observed, reported as skipped")] = False


class Retrying(ResourceOptions):
    """A resource that may need a moment: it is observed again while it does not hold."""

    retry_count: Annotated[int, Field(strict=True, ge=0, le=1000, description="observations after the first")] = 0
    retry_delay: Annotated[
        Annotated[int, Field(strict=True, ge=0)]
        | Annotated[str, StringConstraints(pattern=r"^(\d+|(\d+(\.\d+)?(ms|s|m|h))+)$")],
        Field(
            description="before each further observation: milliseconds, or a number with ms, s or m",
            union_mode="left_to_right",
        ),
    ] = 0


class Include(ResourceOptions):
    """A resource that is no claim itself: it brings in the assertions of other files, when the file is read."""

    file: Annotated[
        str | None, Field(min_length=1, description="path or glob pattern, where the key is only a label")
    ] = None


_NUMBER = re.compile(r"-?[0-9]{1,40}")
"""Python reads none of more than 4300 digits, and no guest counts so far."""


def whole_number(text: str) -> int | None:
    """A whole number that a guest printed; None for what is none, or has no end."""
    return int(text) if _NUMBER.fullmatch(text) else None


def lines_of(text: str) -> list[str]:
    """The lines of what a guest printed, which end where its tools end them: not at U+0085, U+2028 or a form feed."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one probe printed in the guest, decoded; `seconds` is its time in the guest."""

    status: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One attribute of one resource, judged: what was expected, what was seen, and whether it holds.

    A claim that was `skipped` (the resource does not exist, or the profile says skip) holds, and `note` says why.
    """

    attribute: str
    expected: str
    actual: str
    holds: bool
    note: str = ""
    skipped: bool = False
    unseen: bool = False
    """Nobody could see it, and so it does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One probe of several resources, where that costs the guest less than one each.

    Before what it prints of a resource it calls `at KEY`, or prints a line `$METALLIZE_AT KEY`; what it prints of one
    at several places counts together. A resource that it says nothing of is probed by itself. Surveys run beside the
    other probes, and what they print stays in the guest's memory until these have ended: it must be short.
    """

    script: str
    keys: tuple[str | None, ...]
    """Of each resource that was given, in their order; None: it does not look at that one."""
    rootless: bool = False
    """Whether it sees the same without root's rights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and how far apart, an observation is repeated while a claim does not hold."""

    count: int = 0
    delay: timedelta = timedelta()


class Kind(Protocol):
    """One assertion kind: a file of checks/ that ends in `KIND = ...`."""

    @property
    def name(self) -> str:
        """The key in a goss file: service, port, file, ..."""
        ...

    @property
    def summary(self) -> str: ...

    @property
    def options(self) -> type[ResourceOptions]:
        """The model of one resource's attributes; unknown attributes are errors with a place."""
        ...

    @property
    def example(self) -> str:
        """A YAML snippet, a mapping of one resource id to its attributes, that decodes."""
        ...

    @property
    def aside(self) -> bool:
        """Whether its probes change nothing and print little, so that others may run meanwhile."""
        ...

    def refuse(self, resource: str, options: Frozen) -> str | None:
        """Why this resource id can never be observed (`tcp:99999`), or None; asked when the profile is read."""
        ...

    def probe(self, resource: str, options: Frozen) -> str:
        """A POSIX sh snippet that prints what there is to see; every value from outside is quoted with shlex.

        Empty where there is nothing to see in a guest. What it must write, it writes into $METALLIZE_SCRATCH.
        """
        ...

    def survey(self, resources: Sequence[tuple[str, Frozen]]) -> Survey | None:
        """One probe that sees of each resource what its own probe would, or None where there is no such way."""
        ...

    def judge(self, resource: str, options: Frozen, observation: Observation) -> Iterable[Claim]:
        """Compare what was seen with what the options claim; pure."""
        ...
