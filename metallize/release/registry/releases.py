"""What clients of a registry find beside a channel: a tag of each release, of its container disk, and of the newest.

TAG NAME_VERSION         the release's files; an index where it is of several architectures
TAG NAME_VERSION_disk    its container disk, or an index of these
TAG NAME_CHANNEL         an index of the newest release's artifacts in a channel; NAME_CHANNEL_disk that of its disks
TAG sha256-DIGEST        what is attached to a manifest, where the registry does not tell that by itself
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import BinaryIO

from metallize.events import Events, Level, Note, step
from metallize.meter import Meter
from metallize.release.catalogue import Catalogue, Release, ReleasedImage
from metallize.release.registry import artifacts, disks
from metallize.release.registry.artifacts import BUNDLE, GONE, LAYER, RELEASE, TITLE, VERSION, Descriptor, Document
from metallize.release.registry.disks import ARCHITECTURES, PAYLOAD
from metallize.release.registry.repository import Repository
from metallize.release.registry.uploading import Uploader, spooled

_BUNDLES = ".sigstore.json"
_DISK = "disk"
_CHANNEL = "metallize.channel"
_NO_TAG = re.compile("[^A-Za-z0-9_.-]")
"""What a tag has no place for (OCI Distribution Specification 1.1, Pulling manifests)."""
_MOST_CHARACTERS = 128

Read = Callable[[Descriptor], AbstractContextManager[BinaryIO]]
"""A file of the repository, as clients get it."""
Known = Callable[[str, Descriptor | None], Descriptor | None]
"""Gives a container disk's layer that was made of a file and is not shown yet, and is given one to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One tag."""

    tag: str
    document: Document
    parts: tuple[tuple[Document, tuple[Descriptor, ...]], ...]
    """The manifests that it stands for, each with the signed statements that are attached to it."""


def tag_of(*parts: str) -> str:
    """A name of them, of what a tag may have: `web_20261130.1`."""
    return _NO_TAG.sub("_", "_".join(parts))[:_MOST_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The tags of a repository."""

    repository: Repository
    uploader: Uploader
    events: Events
    read: Read
    known: Known

    def made(self, catalogue: Catalogue, files: Mapping[str, Descriptor]) -> tuple[Offered, ...]:
        """All tags that a channel is to have, with everything stored that they stand for, but no tag changed yet."""
        found: list[Offered] = []
        for release in catalogue.releases:
            both = [self._artifacts(release, files), *self._disks(release, files)]
            found += both
            if catalogue.latest(release.name) == release:
                found += [_newest(each, release, catalogue.channel) for each in both]
        for each in found:
            if self.repository.digest(each.tag) != each.document.digest:
                for part, _ in each.parts:
                    self.repository.put(part)
        return tuple(found)

    def show(self, offered: Sequence[Offered]) -> None:
        """Put every tag in its place: first what is attached to the manifests that it stands for."""
        for each in offered:
            before = self.repository.digest(each.tag)
            if before == each.document.digest:
                continue
            for part, bundles in each.parts:
                self._attach(part, bundles)
            self.repository.put(each.document, each.tag)
            if before is not None and _CHANNEL in each.document.annotations:  # an index that nothing else refers to
                self.repository.delete(before)

    def take_away(self, catalogue: Catalogue, offered: Sequence[Offered], elsewhere: Collection[str]) -> None:
        """Remove the tags that a channel had, as its catalogue from before tells, and has no longer.

        `elsewhere` are the releases that other channels offer, by their keys: theirs stay.
        """
        stays, refused = {each.tag for each in offered}, []
        for tag, whole in _tags_of(catalogue, elsewhere):
            if tag not in stays and not self._removed(tag, with_parts=whole):
                refused.append(tag)
        if refused:
            self.events.emit(
                Note(
                    text=f"{self.repository.place()} deletes nothing (405): {', '.join(refused)} tell now that they are"
                    " gone, but whoever knows their digests still gets them; have the registry allow deletion"
                    " (REGISTRY_STORAGE_DELETE_ENABLED=true), or delete them there",
                    level=Level.WARNING,
                )
            )

    # --- making ------------------------------------------------------------------------------------------------------

    def _artifacts(self, release: Release, files: Mapping[str, Descriptor]) -> Offered:
        parts: dict[str, tuple[Document, tuple[Descriptor, ...]]] = {}
        for architecture in sorted({image.architecture for image in release.images}):
            images = [image for image in release.images if image.architecture == architecture]
            layers = [
                replace(files[file.name], annotations={TITLE: file.name}) for each in images for file in each.files
            ]
            document = artifacts.manifest(RELEASE, layers, {TITLE: release.name, VERSION: release.version})
            parts[ARCHITECTURES.get(architecture, architecture)] = document, tuple(_bundles(images, files))
        return _offered(tag_of(release.key), parts, {TITLE: release.name, VERSION: release.version}, RELEASE)

    def _disks(self, release: Release, files: Mapping[str, Descriptor]) -> Iterator[Offered]:
        tag, parts = tag_of(release.key, _DISK), {}
        there = self._disks_there(tag) if any(disks.disks_of(release)) else {}
        for architecture, image in disks.disks_of(release):
            payload = files[image.payload.name]
            layer = there.get(payload.digest) or self.known(image.payload.name, None)
            if layer is None or layer.annotations.get(PAYLOAD, payload.digest) != payload.digest:
                layer = self._layer(image, payload)
            layer = Descriptor(media_type=LAYER, digest=layer.digest, size_bytes=layer.size_bytes)
            config = self.uploader.content("config.json", disks.config_of(layer, architecture))
            document = disks.image_of(layer, config, image, release.version)
            parts[architecture] = document, tuple(_bundles([image], files))
        if parts:
            yield _offered(tag, parts, {VERSION: release.version}, "")

    def _disks_there(self, tag: str) -> Mapping[str, Descriptor]:
        """The layers of disks that are shown already, by the files that they were made of."""
        found = self.repository.document(tag)
        if found is None:
            return {}
        each = (self.repository.document(entry.digest) for entry in found.entries) if found.entries else (found,)
        return {one.annotations[PAYLOAD]: one.layers[0] for one in each if one and PAYLOAD in one.annotations}

    def _layer(self, image: ReleasedImage, payload: Descriptor) -> Descriptor:
        name = image.payload.name
        with (
            step(self.events, f"disk {name}", f"make a container disk of {name}") as handle,
            self.read(payload) as file,
        ):
            meter = Meter(handle, payload.size_bytes)
            with spooled(lambda target: disks.fill_layer(image, file, target, meter.at)) as spool:
                sent = self.uploader.send(f"{name} (its container disk)", spool)
        layer = replace(sent, media_type=LAYER, annotations={PAYLOAD: payload.digest})
        self._require_readable(layer)
        self.known(name, layer)
        return layer

    def _require_readable(self, layer: Descriptor) -> None:
        """Read a layer to its end: `read` compares its digest."""
        with self.read(layer) as file:
            while file.read(1 << 20):
                pass

    # --- attaching ---------------------------------------------------------------------------------------------------

    def _attach(self, subject: Document, bundles: Sequence[Descriptor]) -> None:
        """Have each bundle refer to a manifest (OCI Distribution Specification 1.1, Pushing manifests with subject)."""
        lacking: list[Descriptor] = []
        for bundle in bundles:
            document = artifacts.manifest(BUNDLE, [bundle], {TITLE: bundle.title}, subject=subject.described())
            if not self.repository.put(document):
                told = document.described()
                lacking.append(replace(told, artifact_type=BUNDLE, annotations={TITLE: bundle.title}))
        if not lacking:
            return
        tag = _fallback(subject.digest)
        there = self.repository.document(tag)
        entries = {each.digest: each for each in (*(there.entries if there else ()), *lacking)}
        listed = artifacts.index(list(entries.values()), {})
        if there is None or there.digest != listed.digest:
            self.repository.put(listed, tag)
            if there is not None:
                self.repository.delete(there.digest)

    # --- removing ----------------------------------------------------------------------------------------------------

    def _removed(self, tag: str, *, with_parts: bool) -> bool:
        """False where the registry deletes nothing: then the tag tells that it is gone."""
        found = self.repository.document(tag)
        if found is None or found.artifact_type == GONE:
            return True
        if not self.repository.delete(found.digest):
            self.repository.put(artifacts.manifest(GONE, (), {"metallize.gone": tag}), tag)
            return False
        for digest in {found.digest, *(each.digest for each in found.entries)} if with_parts else ():
            attached, listed = self.repository.referrers(digest), self.repository.document(_fallback(digest))
            for each in (each for one in (attached, listed) if one is not None for each in one.entries):
                self.repository.delete(each.digest)
            for gone in (*((listed.digest,) if listed is not None else ()), digest):
                self.repository.delete(gone)
        return True


def _offered(
    tag: str,
    parts: Mapping[str, tuple[Document, tuple[Descriptor, ...]]],
    annotations: Mapping[str, str],
    artifact_type: str,
) -> Offered:
    """A manifest where there is one alone, an index where there are several architectures."""
    if len(parts) == 1:
        [(document, _)] = parts.values()
    else:
        entries = [document.described(architecture) for architecture, (document, _) in sorted(parts.items())]
        document = artifacts.index(entries, annotations, artifact_type=artifact_type)
    return Offered(tag=tag, document=document, parts=tuple(parts.values()))


def _newest(offered: Offered, release: Release, channel: str) -> Offered:
    """The same under a tag that goes with a channel: always an index of its own, so that it can be taken away alone."""
    is_disk = offered.tag == tag_of(release.key, _DISK)
    tag = tag_of(release.name, channel, _DISK) if is_disk else tag_of(release.name, channel)
    entries = offered.document.entries or (offered.document.described(_architecture(offered, release)),)
    told = {VERSION: release.version, _CHANNEL: channel}
    return replace(
        offered, tag=tag, document=artifacts.index(entries, told, artifact_type=offered.document.artifact_type)
    )


def _architecture(offered: Offered, release: Release) -> str:
    """Of a tag that is of one alone."""
    if offered.tag == tag_of(release.key, _DISK):
        return next(architecture for architecture, _ in disks.disks_of(release))
    [architecture] = {image.architecture for image in release.images}
    return ARCHITECTURES.get(architecture, architecture)


def _bundles(images: Sequence[ReleasedImage], files: Mapping[str, Descriptor]) -> Iterator[Descriptor]:
    for file in (file for image in images for file in image.files if file.name.endswith(_BUNDLES)):
        yield replace(files[file.name], media_type=BUNDLE, annotations={TITLE: file.name})


def _tags_of(catalogue: Catalogue, elsewhere: Collection[str]) -> Iterator[tuple[str, bool]]:
    """Every tag of a channel, and whether what it stands for goes with it."""
    for name in dict.fromkeys(release.name for release in catalogue.releases):
        for more in ((), (_DISK,)):
            yield tag_of(name, catalogue.channel, *more), False
    for release in catalogue.releases:
        if release.key not in elsewhere:
            for more in ((), (_DISK,)):
                yield tag_of(release.key, *more), True


def _fallback(digest: str) -> str:
    """The tag that lists what refers to a manifest (OCI Distribution Specification 1.1, Referrers Tag Schema)."""
    return digest.replace(":", "-")
