"""What a release is compared with: the release before it of its channel, by the papers that stand there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from metallize.errors import HostError
from metallize.proof import RECORD
from metallize.release.catalogue import Catalogue, Change, Release, ReleasedImage
from metallize.release.destinations import Session
from metallize.release.difference import Side, difference
from metallize.release.naming import compare

_MOST_BYTES = 64 << 20
_MOST_LINES = 200
"""Of a difference on a page: `metallize diff` has all of it."""


def before(catalogue: Catalogue, name: str, version: str) -> Release | None:
    """The newest release of a name that is older than a version."""
    older = (each for each in catalogue.releases if each.name == name and compare(each.version, version) < 0)
    return next(older, None)


def counterpart(release: Release | None, name: str, architecture: str, image_format: str) -> ReleasedImage | None:
    """The image of another release that has the same name, architecture and format."""
    wanted = (name, architecture, image_format)
    images = release.images if release is not None else ()
    return next((each for each in images if (each.name, each.architecture, each.format) == wanted), None)


def manifest_of(session: Session, image: ReleasedImage) -> Mapping[str, Any]:
    """Of an image that the channel has. Raises HostError where it cannot be read."""
    return _paper(session, image, ".manifest.json")


def record_of(session: Session, image: ReleasedImage) -> Mapping[str, Any]:
    """The record of its verification, of an image that the channel has. Raises HostError where it cannot be read."""
    return _paper(session, image, RECORD)


def changes(session: Session, catalogue: Catalogue, release: Release) -> tuple[Change, ...]:
    """What every image of a release has otherwise than the release before it, by the files of both in a channel."""
    old = before(catalogue, release.name, release.version)
    return tuple(_changes(session, old, release)) if old is not None else ()


def _changes(session: Session, old: Release, new: Release) -> Iterator[Change]:
    for image in new.images:
        other = counterpart(old, image.name, image.architecture, image.format)
        if other is None:
            continue
        sides = [
            Side(
                name=name,
                manifest=_paper(session, each, ".manifest.json"),
                record=_paper(session, each, RECORD),
            )
            for name, each in ((old.key, other), (image.payload.name, image))
        ]
        try:
            lines = list(difference(*sides).lines())[1:]
        except (ValueError, LookupError, TypeError) as exc:
            raise HostError(
                f"the papers of {image.payload.name} and {other.payload.name} do not compare: {exc}"
            ) from exc
        more = len(lines) - _MOST_LINES
        if more > 0:
            lines[_MOST_LINES:] = [f"and {more} lines more: metallize diff {old.key} {new.key} --in DEST"]
        yield Change(image=image.payload.name, since=old.key, lines=tuple(lines))


def _paper(session: Session, image: ReleasedImage, suffix: str) -> Mapping[str, Any]:
    name = next((file.name for file in image.files if file.name.endswith(suffix)), None)
    if name is None:
        raise HostError(f"{image.payload.name} was published without its {suffix}", hint="retract that release")
    with session.read(name) as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        found = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HostError(f"{name} of the channel cannot be read", hint="retract that release, or put the file back")
    return found
