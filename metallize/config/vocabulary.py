"""What a profile may name: generators, machines, assertion kinds, layers and suites; handed in by the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metallize.model.catalogue import Generator, Layer, MachineEntry
from metallize.model.kind import Kind
from metallize.model.profile import Platform


class Escape(ValueError):  # noqa: N818 - it names what the path does
    """A name leads, by `..` or by a symbolic link, out of the folder it must stay in."""


class Layers(Protocol):
    """Where an entry of `images` is looked for: beside the profile, extensions, dockerfile_dir, shipped."""

    def find(self, name: str, *, beside: Path, dockerfile_dir: str | None) -> Layer | None:
        """The layer, or None; raises Escape for a name that leads out of the folder it was found in."""
        ...

    def names(self, *, beside: Path, dockerfile_dir: str | None) -> tuple[str, ...]:
        """Every name that `find` would know."""
        ...


class Suites(Protocol):
    """Where an entry of `boot.suites` is looked for: boot-tests/NAME.yaml, or a path beside the profile."""

    def find(self, name: str, *, beside: Path) -> Path | None:
        """The suite's file, or None; raises Escape as `Layers.find` does."""
        ...

    def names(self, *, beside: Path) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Everything that gives the words of a profile their meaning."""

    generators: Mapping[str, Generator]
    machines: Mapping[str, MachineEntry]
    kinds: Mapping[str, Kind]
    layers: Layers
    suites: Suites
    profiles: Mapping[str, Path]
    """Shipped profiles by name, for `extends`."""
    host_platform: Platform
    """What `platform:` is where a profile names none."""
    refusals: Collection[str]
    """The rules that boot.expect may name as refused."""
