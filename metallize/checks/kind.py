"""What an assertion kind is: a frozen value of options, a probe for the guest, and a judgement of what it saw.

Observing and judging are kept apart. A probe is a POSIX sh snippet that only prints; the harness runs the
probes of all assertions in one round trip, over SSH or over serial, and hands each one's output to its kind's
judgement, which is a pure function and needs no guest to be tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from metallize.model.profile import Frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one probe printed in the guest, decoded; `seconds` is its time in the guest."""

    status: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One attribute of one resource, judged: what was expected, what was seen, and whether it holds."""

    attribute: str
    expected: str
    actual: str
    holds: bool
    note: str = ""


class Kind(Protocol):
    """One assertion kind: a file of checks/ that ends in `KIND = ...`."""

    @property
    def name(self) -> str:
        """The key in a goss file: service, port, file, ..."""
        ...

    @property
    def summary(self) -> str: ...

    @property
    def options(self) -> type[Frozen]:
        """The model of one resource's attributes; unknown attributes are errors with a place."""
        ...

    @property
    def example(self) -> str:
        """A YAML snippet, a mapping of one resource id to its attributes, that decodes."""
        ...

    def probe(self, resource: str, options: Frozen) -> str:
        """A POSIX sh snippet that prints what there is to see; every value from outside is quoted with shlex."""
        ...

    def judge(self, resource: str, options: Frozen, observation: Observation) -> Iterable[Claim]:
        """Compare what was seen with what the options claim; pure."""
        ...
