"""A profile that was read and found good: the values, the assertions, and where each thing stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metallize.errors import Location
from metallize.model.assertion import Assertion, Group
from metallize.model.boot import Boot
from metallize.model.profile import Base, Output, Platform, Settings
from metallize.model.rules import ReleaseRules

KeyPath = tuple[str | int, ...]
"""Where in the YAML tree: ("images", 2) is the third image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything a build and a verification need to know; `boot` is None where the profile declares none."""

    path: Path
    name: str
    """The file's stem, safe as a folder name and as part of a Docker tag (lower case, [a-z0-9._-])."""
    platform: Platform
    args: Mapping[str, str]
    """Names as written, values as text (true/false for booleans); layers see METALLIZE_<NAME>."""
    images: tuple[str, ...]
    output: Output
    boot: Boot | None
    assertions: tuple[Assertion, ...]
    """From the profile's suites, in their order, then from its own `assert`."""
    settings: Settings
    locations: Mapping[KeyPath, Location]
    contexts: Mapping[int, Path] = field(default_factory=dict)
    """The build context of each image, by its place in `images`, that the profile names one for."""
    release: ReleaseRules = field(default_factory=ReleaseRules)
    base: Base = field(default_factory=Base)
    groups: tuple[Group, ...] = ()
    """boot.groups, in their order."""
    several: bool = False
    """Whether this is one of several outputs of its file."""

    @property
    def runs(self) -> Path:
        """Where its runs are kept below build/runs: the profile's folder, or one in it for each of several outputs."""
        return Path(self.name, self.output.file) if self.several else Path(self.name)

    def location(self, *key_path: str | int) -> Location:
        """The place of a key path, or of its nearest parent that has one."""
        path: KeyPath = key_path
        while path and path not in self.locations:
            path = path[:-1]
        return self.locations.get(path) or Location(path=self.path, line=1, column=1)
