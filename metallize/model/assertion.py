"""One assertion of a profile or a suite, decoded and with its place; the checks decide if it holds."""

from __future__ import annotations

from dataclasses import dataclass

from metallize.errors import Location
from metallize.model.profile import Frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One resource to check: its kind, its id, its attributes and the place in the profile or suite that says so."""

    kind: str
    resource: str
    options: Frozen
    location: Location

    @property
    def title(self) -> str:
        return f"{self.kind} {self.resource}"
