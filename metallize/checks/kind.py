"""Assertion kinds made of two functions: one that writes the probe, one that judges what it printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from metallize.model.kind import Claim, Kind, Observation, ResourceOptions, Survey
from metallize.model.scalars import Frozen

__all__ = ["Claim", "Kind", "Observation", "ResourceKind", "Together"]

OptionsT = TypeVar("OptionsT", bound=ResourceOptions)


_PLAIN = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9@%+:,./_-]*")
"""A key that no shell, and no tool's output, reads in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together(Generic[OptionsT]):
    """How a kind looks at several resources with one probe."""

    key: Callable[[str, OptionsT], str | None]
    """What the tool calls this resource; None where it has to be probed by itself."""
    observe: Callable[[Sequence[tuple[str, OptionsT]]], str]
    """The snippet for these keys, each with what is asked of it; no key comes twice."""
    rootless: bool = False
    """Whether it sees the same without root's rights, or says nothing: then it saves time even with one resource."""

    def survey(self, resources: Sequence[tuple[str, OptionsT]]) -> Survey | None:
        keys = [self.key(resource, options) for resource, options in resources]
        plain = tuple(key if key is not None and _PLAIN.fullmatch(key) else None for key in keys)
        # the same name with two sets of claims is rare, and not worth a rule for joining them
        once = tuple(key if key is not None and plain.count(key) == 1 else None for key in plain)
        asked = [(key, options) for key, (_, options) in zip(once, resources, strict=True) if key is not None]
        if len(asked) < (1 if self.rootless else 2):
            return None
        return Survey(script=self.observe(asked), keys=once, rootless=self.rootless)


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
    together: Together[OptionsT] | None = None
    aside: bool = True
    """Whether its probes change nothing and print little, so that others may run meanwhile."""

    def refuse(self, resource: str, options: Frozen) -> str | None:
        """Why this resource can never be observed, or None."""
        return self.refusal(resource, self._own(options))

    def probe(self, resource: str, options: Frozen) -> str:
        """The POSIX sh snippet that looks at this resource."""
        return self.observe(resource, self._own(options))

    def survey(self, resources: Sequence[tuple[str, Frozen]]) -> Survey | None:
        """One probe of several of its resources, where the kind has one."""
        if self.together is None:
            return None
        return self.together.survey([(resource, self._own(options)) for resource, options in resources])

    def judge(self, resource: str, options: Frozen, observation: Observation) -> tuple[Claim, ...]:
        """One claim for each attribute that the options name."""
        return tuple(self.compare(resource, self._own(options), observation))

    def _own(self, options: Frozen) -> OptionsT:
        if not isinstance(options, self.options):
            raise TypeError(f"{self.name} was given {type(options).__name__}, not {self.options.__name__}")
        return options
