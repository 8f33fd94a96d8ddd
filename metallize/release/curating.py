"""What is done with releases that are there: into another channel, taken back, pinned; nothing is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from metallize.errors import HostError, UsageError
from metallize.events import Events, Note, step
from metallize.meter import Meter
from metallize.release import naming, packing
from metallize.release.catalogue import FILE, Catalogue, Release, ReleasedImage, only_one, read_catalogue
from metallize.release.channel.serving import ServingChange
from metallize.release.destinations import Destination, Session
from metallize.release.gate import before as history
from metallize.release.pointers import SIGNATURE, Sign, require_signed_on, switch
from metallize.release.retention import GRACE, Retention, moment, retained


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a channel is changed."""

    retention: Retention = field(default_factory=Retention)
    sign: Sign | None = None
    serving: ServingChange = field(default_factory=ServingChange)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def catalogues(destination: Destination) -> tuple[Catalogue, ...]:
    """Every channel that is there. Raises HostError where one cannot be read."""
    return tuple(_catalogue(destination, channel) for channel in destination.channels())


def promote(
    destination: Destination, version: str, events: Events, terms: Terms, *, channel: str, source: str | None = None
) -> Release:
    """Offer a release of one channel in another one too: the same files, byte for byte.

    Raises UsageError where no channel but this has it, HostError where its files are not those of its catalogue.
    """
    naming.require_channel(channel)
    with destination.session(channel, events) as session:
        there = [each for each in catalogues(destination) if each.channel != channel]
        if source is not None:
            _require_there(destination, source)
            there = [each for each in there if each.channel == source]
        where = f"the other channels of {destination.place}" if source is None else f"the channel {source}"
        found = only_one(
            (release for each in there for release in each.named(version)), version, where,
            [release.key for each in there for release in each.releases],
        )  # fmt: skip
        origin = next(each.channel for each in there if found in each.releases)
        known = read_catalogue(channel, session.pointer(FILE), f"{destination.place}/{channel}")
        for release in known.releases:
            if release.key == found.key and release.digests == found.digests:
                events.emit(Note(text=f"{channel} offers {release.key} already"))
                return release
        if found.key in {*(each.key for each in known.releases), *(each.key for each in known.gone)}:
            raise UsageError(f"{channel} has or had another release {found.key}", hint="publish it under a new version")
        require_signed_on(session.pointer(SIGNATURE), channel, terms.sign)
        if not known.releases and terms.sign is None and destination.pointer(origin, SIGNATURE) is not None:
            raise UsageError(
                f"the channel {origin} is signed, and {channel} would not be: its clients would find no {SIGNATURE}",
                hint="add --gpg-key KEY",
            )
        images = taken(session, found, origin, events)
        release = replace(found, images=images, published=moment(terms.now), pinned=False)
        release = replace(release, changes=history.changes(session, known, release))
        with step(events, "release switch", f"show {release.key} in {channel}"):
            shown = retained(known.with_release(release), terms.retention, terms.now)
            switch(session, shown, terms.sign, now=terms.now, serving=terms.serving)
    return release


def taken(session: Session, release: Release, channel: str, events: Events) -> tuple[ReleasedImage, ...]:
    """The files of a release of another channel, in this one, unseen yet, each read and compared with its digest."""
    for file in release.files:
        if not session.published(file.name):  # what a killed attempt has left may be anything
            session.take(file.name, channel)
        with step(events, f"read {file.name}", f"read back {file.name}") as handle, session.read(file.name) as content:
            size = content.seek(0, io.SEEK_END)
            content.seek(0)
            digest = packing.digest_of(content, Meter(handle, size).at)
        if digest != file.sha256:
            if not session.published(file.name):
                session.discard(file.name)
            raise HostError(
                f"{file.name} is not the file that the catalogue of {channel} tells of",
                hint="somebody has changed it: retract it there, and publish it anew",
            )
    return release.images


def retract(
    destination: Destination, version: str, events: Events, terms: Terms, *, why: str, channel: str | None = None
) -> tuple[str, ...]:
    """Offer a release no longer, in one channel or in all that have it; returns those.

    Its files go a day later, and its version is not given to other bytes again.
    """

    def without(catalogue: Catalogue, release: Release) -> Catalogue:
        return catalogue.without(release, since=moment(terms.now), why=why)

    return _in_each(destination, version, events, terms, channel=channel, change=without)


def pin(
    destination: Destination, version: str, events: Events, terms: Terms, *, pinned: bool, channel: str | None = None
) -> tuple[str, ...]:
    """Have retention pass over a release, or not any more; returns the channels."""

    def with_pin(catalogue: Catalogue, release: Release) -> Catalogue:
        return catalogue.with_release(replace(release, pinned=pinned))

    return _in_each(destination, version, events, terms, channel=channel, change=with_pin)


def _in_each(
    destination: Destination,
    version: str,
    events: Events,
    terms: Terms,
    *,
    channel: str | None,
    change: Callable[[Catalogue, Release], Catalogue],
) -> tuple[str, ...]:
    """Change a release in every channel that has it, one after the other."""
    if channel is not None:
        _require_there(destination, channel)
    there = [each for each in catalogues(destination) if channel in (None, each.channel)]
    where = destination.place if channel is None else f"the channel {channel}"
    found = only_one(
        (release for each in there for release in each.named(version)), version, where,
        [release.key for each in there for release in each.releases],
    )  # fmt: skip
    there = [each for each in there if each.named(found.key)]
    for each in there:  # before any of them is changed
        require_signed_on(destination.pointer(each.channel, SIGNATURE), each.channel, terms.sign)
    done = []
    for each in there:
        with destination.session(each.channel, events) as session:
            now = read_catalogue(each.channel, session.pointer(FILE), f"{destination.place}/{each.channel}")
            releases = now.named(found.key)
            if not releases:  # gone while it was waited for the lock
                continue
            require_signed_on(session.pointer(SIGNATURE), each.channel, terms.sign)
            shown = change(now, releases[0]).cleared(moment(terms.now - GRACE))
            switch(session, shown, terms.sign, now=terms.now, serving=terms.serving)
        done.append(each.channel)
    return tuple(done)


def _require_there(destination: Destination, channel: str) -> None:
    there = destination.channels()
    if channel not in there:
        hint = f"there are {', '.join(there)}" if there else "nothing is published there"
        raise UsageError(f"{destination.place} has no channel {channel}", hint=hint)


def _catalogue(destination: Destination, channel: str) -> Catalogue:
    return read_catalogue(channel, destination.pointer(channel, FILE), f"{destination.place}/{channel}")
