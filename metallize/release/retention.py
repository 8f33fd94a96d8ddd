"""What a channel keeps: the newest by number and by age; never the latest of a name goes, nor what is pinned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metallize.release.catalogue import Catalogue, Release

GRACE = timedelta(days=1)
"""So long the files of what is offered no longer stay, for whoever is just fetching them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """None where it is no matter."""

    number: int | None = None
    """So many of each name, at the least one."""
    age: timedelta | None = None
    """Counted from when it came into the channel."""


def moment(when: datetime) -> str:
    """As releases.json has it: such texts sort as the moments do."""
    return when.astimezone(UTC).isoformat(timespec="seconds")


def retained(catalogue: Catalogue, retention: Retention, now: datetime) -> Catalogue:
    """The channel as it is to be after a change: without what is too much, and without files whose grace is over."""
    for name in sorted({release.name for release in catalogue.releases}):
        of_name = [release for release in catalogue.releases if release.name == name]
        for place, release in enumerate(of_name):
            if place and not release.pinned and _too_much(release, place, retention, now):
                catalogue = catalogue.without(release, since=moment(now), why="newer ones took its place")
    return catalogue.cleared(moment(now - GRACE))


def _too_much(release: Release, place: int, retention: Retention, now: datetime) -> bool:
    too_many = retention.number is not None and place >= retention.number
    too_old = retention.age is not None and release.published < moment(now - retention.age)
    return too_many or too_old
