"""releases.json: what a channel offers, what it has taken back, and the only reader and writer of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from metallize.errors import HostError, UsageError
from metallize.files.json_file import as_mapping, as_text
from metallize.release.naming import newest_first

FILE = "releases.json"
SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedFile:
    """One file beside others in a channel's folder."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedImage:
    """One image of a release: the file that is fetched, and the papers that tell of it."""

    name: str
    architecture: str
    format: str
    image_sha256: str
    """Of the bytes that were booted, which is not the fetched file's where that is packed."""
    image_bytes: int
    machines: tuple[str, ...]
    """On which it passed."""
    verified: str
    """When the last of these boots began, ISO 8601 in UTC."""
    files: tuple[ReleasedFile, ...]
    """The one that is fetched first."""
    system: str = ""
    """What it calls itself: PRETTY_NAME of os-release(5)."""
    firmware: tuple[str, ...] = ()
    """What it can be booted by."""
    combined_sha256: str = ""
    """Of the metadata for LXD and Incus with the disk behind it; empty where the image is none of theirs."""

    @property
    def payload(self) -> ReleasedFile:
        return self.files[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an image has otherwise than that of the release before in its channel."""

    image: str
    """By the file that is fetched."""
    since: str
    """The release before, by its key."""
    lines: tuple[str, ...]
    """As `metallize diff` tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One or more images under one version."""

    name: str
    version: str
    published: str
    """When it came into this channel, ISO 8601 in UTC."""
    pinned: bool = False
    waived: tuple[str, ...] = ()
    """What its profile's rules had against it, and somebody overruled."""
    changes: tuple[Change, ...] = ()
    """Since the release before in this channel; none of the first."""
    images: tuple[ReleasedImage, ...]

    @property
    def key(self) -> str:
        return f"{self.name}_{self.version}"

    @property
    def files(self) -> tuple[ReleasedFile, ...]:
        return tuple(file for image in self.images for file in image.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def digests(self) -> frozenset[tuple[str, str, str]]:
        """What tells whether two releases ship the same images."""
        return frozenset((image.name, image.format, image.image_sha256) for image in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A release that the channel offers no longer: its version is not given to other bytes again."""

    name: str
    version: str
    since: str
    why: str
    files: tuple[ReleasedFile, ...] = ()
    """Still there for whoever is just fetching them."""

    @property
    def key(self) -> str:
        return f"{self.name}_{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a channel is served, and until when its list of files is fresh; each empty where nobody has said."""

    url: str = ""
    """Of the destination, without the channel."""
    days: int = 0
    """So long every list is fresh."""
    icon: str = ""
    best_before: str = ""
    """The day on which the list of now is fresh no longer: YYYY-MM-DD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All of one channel."""

    channel: str
    serving: Serving = Serving()
    releases: tuple[Release, ...] = ()
    """The newest version first."""
    gone: tuple[Gone, ...] = ()

    def with_release(self, release: Release) -> Catalogue:
        """The same with one more; or with it in place of one of that name and version."""
        others = [each for each in self.releases if each.key != release.key]
        return replace(self, releases=_sorted([*others, release]))

    def without(self, release: Release, *, since: str, why: str) -> Catalogue:
        """The same without it: its files stay until `cleared`."""
        left = Gone(name=release.name, version=release.version, since=since, why=why, files=release.files)
        others = tuple(each for each in self.releases if each.key != release.key)
        return replace(self, releases=others, gone=(*self.gone, left))

    def cleared(self, before: str) -> Catalogue:
        """The same, with no files of what has been gone since before a moment (ISO 8601 in UTC)."""
        return replace(self, gone=tuple(replace(each, files=()) if each.since < before else each for each in self.gone))

    def latest(self, name: str) -> Release | None:
        """The newest release of a name."""
        return next((each for each in self.releases if each.name == name), None)

    def named(self, version: str) -> tuple[Release, ...]:
        """Those of a version, or of a name and version as in web_20261130.1."""
        return tuple(each for each in self.releases if version in (each.version, each.key))

    @property
    def offered(self) -> tuple[ReleasedFile, ...]:
        """What SHA256SUMS lists."""
        return tuple(file for release in self.releases for file in release.files)

    @property
    def kept(self) -> frozenset[str]:
        """The names of all files that must be there."""
        lingering = (file for each in self.gone for file in each.files)
        return frozenset(file.name for file in (*self.offered, *lingering))

    def text(self) -> str:
        """As releases.json holds it."""
        content = {
            "schema": SCHEMA,
            "channel": self.channel,
            "serving": asdict(self.serving),
            "releases": [asdict(each) for each in self.releases],
            "gone": [asdict(each) for each in self.gone],
        }
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_catalogue(channel: str, content: bytes | None, place: str) -> Catalogue:
    """What releases.json holds; nothing where there is none.

    Raises HostError for what is no catalogue: it is not written over, because only it knows what is there.
    """
    if content is None:
        return Catalogue(channel=channel)
    try:
        found = _decoded(json.loads(content))
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise HostError(
            f"{place}/{FILE} is no catalogue of releases: {exc}",
            hint="put back the file as metallize wrote it, or choose another channel",
        ) from exc
    if found.channel != channel:
        raise HostError(f"{place}/{FILE} is that of the channel {found.channel}", hint="was the folder renamed?")
    return found


def only_one(found: Iterable[Release], version: str, where: str, there: Iterable[str]) -> Release:
    """The release that is meant. Raises UsageError where there is none, or more than one."""
    releases = {release.key: release for release in found}
    if not releases:
        known = ", ".join(dict.fromkeys(there))
        raise UsageError(f"there is no release {version} in {where}", hint=f"there are {known}" if known else None)
    if len(releases) > 1:
        raise UsageError(
            f"{version} is the version of several releases in {where}", hint=f"say {' or '.join(releases)}"
        )
    return next(iter(releases.values()))


def _sorted(releases: Iterable[Release]) -> tuple[Release, ...]:
    return tuple(sorted(sorted(releases, key=lambda each: each.name), key=lambda each: newest_first(each.version)))


# --- the reader ------------------------------------------------------------------------------------------------------


def _decoded(content: Any) -> Catalogue:
    if as_mapping(content).get("schema") != SCHEMA:
        raise ValueError("an older or a newer metallize wrote it")
    return Catalogue(
        channel=as_text(content["channel"]),
        serving=_serving(as_mapping(content.get("serving", {}))),
        releases=_sorted(_each(content["releases"], _release)),
        gone=_each(content["gone"], _gone),
    )


def _serving(content: Mapping[str, Any]) -> Serving:
    return Serving(
        url=as_text(content.get("url", "")),
        days=int(content.get("days", 0)),
        icon=as_text(content.get("icon", "")),
        best_before=as_text(content.get("best_before", "")),
    )


def _release(content: Mapping[str, Any]) -> Release:
    images = _each(content["images"], _image)
    if not images:
        raise ValueError("it tells of a release with no image")
    return Release(
        name=as_text(content["name"]),
        version=as_text(content["version"]),
        published=as_text(content["published"]),
        pinned=content["pinned"] is True,
        waived=tuple(as_text(each) for each in content.get("waived", ())),
        changes=_each(content.get("changes", []), _change),
        images=images,
    )


def _change(content: Mapping[str, Any]) -> Change:
    return Change(
        image=as_text(content["image"]),
        since=as_text(content["since"]),
        lines=tuple(as_text(each) for each in content["lines"]),
    )


def _image(content: Mapping[str, Any]) -> ReleasedImage:
    files = _each(content["files"], _file)
    if not files:
        raise ValueError("it tells of an image with no file")
    return ReleasedImage(
        name=as_text(content["name"]),
        architecture=as_text(content["architecture"]),
        format=as_text(content["format"]),
        image_sha256=as_text(content["image_sha256"]),
        image_bytes=int(content["image_bytes"]),
        machines=tuple(as_text(each) for each in content["machines"]),
        verified=as_text(content["verified"]),
        files=files,
        system=as_text(content.get("system", "")),
        firmware=tuple(as_text(each) for each in content.get("firmware", ())),
        combined_sha256=as_text(content.get("combined_sha256", "")),
    )


def _gone(content: Mapping[str, Any]) -> Gone:
    return Gone(
        name=as_text(content["name"]),
        version=as_text(content["version"]),
        since=as_text(content["since"]),
        why=as_text(content["why"]),
        files=_each(content["files"], _file),
    )


def _file(content: Mapping[str, Any]) -> ReleasedFile:
    name = as_text(content["name"])
    if "/" in name or name in {"", ".", ".."} or "\0" in name:
        raise ValueError(f"{name!r} is no file's name")
    return ReleasedFile(name=name, size_bytes=int(content["size_bytes"]), sha256=as_text(content["sha256"]))


def _each(value: object, decode: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {type(value).__name__}")
    return tuple(_decode_all(value, decode))


def _decode_all(values: list[object], decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    for value in values:
        yield decode(as_mapping(value))
