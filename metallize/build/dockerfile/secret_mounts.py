"""What a RUN is lent for its time, and no image holds: --mount=type=secret and --mount=type=ssh.

Source: Dockerfile reference (RUN --mount=type=secret, type=ssh), and BuildKit's frontend for what an option that is not
there stands for.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from metallize.build.dockerfile.lines import Instruction
from metallize.build.dockerfile.stages import mounts

DEFAULT_SSH = "default"


class Kind(StrEnum):
    """What is lent: the option of `docker build` that gives it, too."""

    SECRET = "secret"  # noqa: S105 - the word itself
    SSH = "ssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """One such mount."""

    kind: Kind
    id: str
    """Empty where only a build knows it, since a variable is in it."""
    required: bool
    """Whether BuildKit ends the build where nobody gives it; else the RUN goes on without."""
    line: int


def loans(instructions: Iterable[Instruction]) -> Iterator[Loan]:
    """Every one of these instructions."""
    for each in instructions:
        for mount in mounts(each):
            kind = mount.get("type", "").lower()
            if kind in tuple(Kind):
                found = _id(Kind(kind), mount)
                yield Loan(
                    kind=Kind(kind),
                    id="" if "$" in found else found,
                    required="required" in mount and mount["required"].lower() not in ("0", "f", "false"),
                    line=each.line,
                )


def _id(kind: Kind, mount: dict[str, str]) -> str:
    if kind is Kind.SSH:
        return mount.get("id") or DEFAULT_SSH
    target = next((mount[name] for name in ("target", "dst", "destination") if mount.get(name)), "")
    named = next((mount[name] for name in ("source", "src", "id") if mount.get(name)), "")
    return named or posixpath.basename(target)
