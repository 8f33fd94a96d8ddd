"""A base as of a date: `base.snapshot` of a profile, and the mirror that keeps such states of a distribution's archive.

The date is the profile's, the mirror is a setting: no address is known here. What Debian's own snapshot archive has is
laid out as archive/debian/YYYYMMDDTHHMMSSZ/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from metallize.build.base.bootstrap import Distribution, components, distribution
from metallize.build.plan import BaseImage
from metallize.errors import Problem
from metallize.model.loaded import Profile

DATE, SUITE = "{date}", "{suite}"
"""What stands in a setting for the date (20261101T000000Z) and for the suite (trixie)."""
_KEYRINGS = {
    "debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}
_EXPIRED = "check-valid-until=no"
"""Of sources.list(5): what an archive said of an old state is not said any more."""


def variable(name: str) -> str:
    """The setting that names a distribution's mirror of states."""
    return f"METALLIZE_{name.upper()}_SNAPSHOT"


def mirrors(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings there are, by distribution."""
    found = {name: environment.get(variable(name), "").strip() for name in _KEYRINGS}
    return {name: setting for name, setting in found.items() if setting}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of the archives that a profile's bases are made of; without a date it is today's."""

    snapshot: str = ""
    """20261101T000000Z"""
    mirrors: Mapping[str, str] = field(default_factory=dict)

    def of(self, base: BaseImage) -> BaseImage:
        """The base as of the date. Nothing is changed of one that `problems` tells of."""
        wanted = distribution(base.reference)
        setting = self.mirrors.get(wanted.id, "") if wanted and self.snapshot else ""
        if wanted is None or not setting or _fault(setting):
            return base
        sources = tuple(_source(line, wanted, self.snapshot) for line in _lines(setting))
        return replace(base, snapshot=self.snapshot, sources=sources)


def problems(profile: Profile, lowest: str | None, settings: Mapping[str, str]) -> Iterator[Problem]:
    """Why the profile's `base.snapshot` cannot be had; `lowest` is the image reference that its stack begins with."""
    date = profile.base.snapshot
    if date is None:
        return
    place = profile.location("base", "snapshot")
    wanted = distribution(lowest) if lowest else None
    if wanted is None:
        what = f"{lowest} is not made of packages" if lowest else "the lowest layer says itself what it stands on"
        if lowest and "@" in lowest:
            what = f"{lowest} has a digest: it is those very bytes, of whatever date"
        message = f"`snapshot` is for a base that is made of Debian's or Ubuntu's packages, and {what}"
        yield Problem(location=place, message=message, hint="begin `images` with debian:trixie, say, or leave it out")
        return
    name, setting = variable(wanted.id), settings.get(wanted.id, "")
    example = f"{name}=http://mirror.example.org/archive/{wanted.id}/{DATE}/"
    if not setting:
        message = f"nothing says which mirror has {wanted.id} {wanted.suite} as it was at {date}"
        yield Problem(
            location=place, message=message, hint=f"set {example} in the environment, with the mirror's address"
        )
    elif (fault := _fault(setting)) is not None:
        yield Problem(location=place, message=f"{name}: {fault}", hint=f"for example {example}")


def _fault(setting: str) -> str | None:
    for line in _lines(setting):
        if not re.match(r"deb\s|[a-z][a-z0-9+.-]*:/", line):
            return f"`{line}` is neither an address nor a line of sources.list(5)"
        if DATE not in line:
            return f"`{line}` has no {DATE} in it, where the date belongs"
    return None


def _lines(setting: str) -> list[str]:
    return [line.strip() for line in setting.splitlines() if line.strip()]


def _source(line: str, wanted: Distribution, date: str) -> str:
    """A line of sources.list(5) for the date, of a line or of an address alone."""
    line = line.replace(DATE, date).replace(SUITE, wanted.suite)
    if not re.match(r"deb\s", line):
        return f"deb [{_EXPIRED} signed-by={_KEYRINGS[wanted.id]}] {line} {wanted.suite} {' '.join(components(wanted))}"
    kind, rest = line.split(maxsplit=1)
    options, rest = re.fullmatch(r"(?:\[(.*?)\]\s*)?(.*)", rest).groups(default="")  # type: ignore[union-attr]  # it fits all
    known = options if "check-valid-until" in options else f"{_EXPIRED} {options}"
    return f"{kind} [{known.strip()}] {rest}"
