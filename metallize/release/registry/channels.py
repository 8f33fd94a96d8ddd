"""What a channel shows, and what waits to be shown, each as one manifest that lists files as layers.

TAG CHANNEL              the channel's folder: all its files and pointers. To push it is the switch
TAG _settled.CHANNEL     the same manifest again, once everything else is as it says
TAG _staging.CHANNEL     files that no client sees; kept for whoever goes on
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from metallize.errors import HostError
from metallize.release.naming import CHANNEL as CHANNEL_NAME
from metallize.release.registry import artifacts
from metallize.release.registry.artifacts import CHANNEL, STAGING, TITLE, Descriptor, Document
from metallize.release.registry.repository import Repository

_POINTER = "metallize.pointer"
_SINCE = "metallize.since"
_UPLOAD = "metallize.upload."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that clients see of one channel."""

    files: Mapping[str, Descriptor] = field(default_factory=dict)
    pointers: Mapping[str, Descriptor] = field(default_factory=dict)
    number: int = 0
    """Of the switch; 0 before the first."""
    digest: str | None = None
    """Of the manifest that says so; None where there is none."""

    def document(self) -> Document:
        """The manifest."""
        layers = [_named(name, each, {}) for name, each in sorted(self.files.items())]
        layers += [_named(name, each, {_POINTER: "1"}) for name, each in sorted(self.pointers.items())]
        return artifacts.manifest(CHANNEL, layers, {"metallize.switch": str(self.number)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What killed sessions have left, and this one has put."""

    files: Mapping[str, Descriptor] = field(default_factory=dict)
    uploads: Mapping[str, str] = field(default_factory=dict)
    """Where each goes on that has not ended, by name."""
    digest: str | None = None

    def document(self) -> Document:
        """The manifest."""
        layers = [_named(name, each, each.annotations) for name, each in sorted(self.files.items())]
        return artifacts.manifest(STAGING, layers, {f"{_UPLOAD}{name}": each for name, each in self.uploads.items()})

    def with_file(self, name: str, file: Descriptor, now: str) -> Staged:
        """The same with one more."""
        uploads = {each: location for each, location in self.uploads.items() if each != name}
        marked = replace(file, annotations={**file.annotations, _SINCE: now})
        return replace(self, files={**self.files, name: marked}, uploads=uploads)

    def without(self, name: str) -> Staged:
        """The same with one less."""
        return replace(self, files={each: file for each, file in self.files.items() if each != name})

    def since(self, moment: str) -> Staged:
        """Without what waits since before a moment (ISO 8601 in UTC), and what has not ended by then."""
        kept = {name: file for name, file in self.files.items() if file.annotations.get(_SINCE, "") >= moment}
        return replace(self, files=kept, uploads={})


def settled_tag(channel: str) -> str:
    return f"_settled.{channel}"


def staging_tag(channel: str) -> str:
    return f"_staging.{channel}"


def names_of(repository: Repository) -> Iterator[str]:
    """The channels that were ever switched to, in the order of their names."""
    for tag in sorted(repository.tags()):
        if CHANNEL_NAME.fullmatch(tag) is not None:
            found = repository.document(tag)
            if found is not None and found.artifact_type == CHANNEL:
                yield tag


def shown(repository: Repository, channel: str) -> Shown:
    """What a channel shows. Raises HostError for a tag of that name that metallize did not make."""
    found = repository.document(channel)
    if found is None:
        return Shown()
    if found.artifact_type != CHANNEL:
        raise HostError(
            f"{repository.place(channel)} is there already, and is no channel that metallize made",
            hint="choose another --channel or another repository",
        )
    return read_shown(repository, found)


def read_shown(repository: Repository, found: Document) -> Shown:
    """What such a manifest lists."""
    number = found.annotations.get("metallize.switch", "")
    if not number.isdecimal():
        raise HostError(
            f"{repository.place()}: {found.digest} does not tell what a channel shows",
            hint="put back the tag as metallize wrote it, or choose another channel",
        )
    return Shown(
        files={each.title: each for each in found.layers if _POINTER not in each.annotations},
        pointers={each.title: each for each in found.layers if _POINTER in each.annotations},
        number=int(number),
        digest=found.digest,
    )


def staged(repository: Repository, channel: str) -> Staged:
    """What waits for a channel's next switch."""
    found = repository.document(staging_tag(channel))
    if found is None or found.artifact_type != STAGING:
        return Staged()
    uploads = {name.removeprefix(_UPLOAD): each for name, each in found.annotations.items() if name.startswith(_UPLOAD)}
    return Staged(files={each.title: each for each in found.layers}, uploads=uploads, digest=found.digest)


def _named(name: str, file: Descriptor, more: Mapping[str, str]) -> Descriptor:
    """As a layer of that name."""
    return replace(file, annotations={**more, TITLE: name})
