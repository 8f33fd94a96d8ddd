"""Assertion kinds made of two functions: one that writes the probe, one that judges what it printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from metallize.model.kind import Claim, Kind, Observation, ResourceOptions
from metallize.model.scalars import Frozen

__all__ = ["Claim", "Kind", "Observation", "ResourceKind"]

OptionsT = TypeVar("OptionsT", bound=ResourceOptions)


def _no_refusal(_resource: str, _options: object) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceKind(Generic[OptionsT]):
    """A `Kind` whose probe and judgement are plain functions over its own options model."""

    name: str
    summary: str
    options: type[OptionsT]
    example: str
    observe: Callable[[str, OptionsT], str]
    compare: Callable[[str, OptionsT, Observation], Iterable[Claim]]
    refusal: Callable[[str, OptionsT], str | None] = _no_refusal

    def refuse(self, resource: str, options: Frozen) -> str | None:
        """Why this resource can never be observed, or None."""
        return self.refusal(resource, self._own(options))

    def probe(self, resource: str, options: Frozen) -> str:
        """The POSIX sh snippet that looks at this resource."""
        return self.observe(resource, self._own(options))

    def judge(self, resource: str, options: Frozen, observation: Observation) -> tuple[Claim, ...]:
        """One claim for each attribute that the options name."""
        return tuple(self.compare(resource, self._own(options), observation))

    def _own(self, options: Frozen) -> OptionsT:
        if not isinstance(options, self.options):
            raise TypeError(f"{self.name} was given {type(options).__name__}, not {self.options.__name__}")
        return options
