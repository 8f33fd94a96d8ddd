"""What `metallize diff` compares, by what a person calls it: an image, a manifest, or a release of a destination."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metallize.errors import HostError, UsageError
from metallize.files.json_file import read_mapping
from metallize.proof import RECORD, record_of
from metallize.release.catalogue import ReleasedImage, only_one
from metallize.release.curating import catalogues
from metallize.release.destinations import Destination
from metallize.release.difference import Side

_MANIFEST = ".manifest.json"


def side_of_file(path: Path) -> Side:
    """An image, by the manifest beside it, or the manifest itself. Raises UsageError where there is none."""
    base = path.name.removesuffix(_MANIFEST).removesuffix(".xz")
    manifest = path.with_name(f"{base}{_MANIFEST}")
    if not manifest.is_file():
        raise UsageError(
            f"{path}: there is no {manifest}, which would say what is in it",
            hint="name an image with its manifest beside it, or --in DEST for two versions of a release",
        )
    record = record_of(path.with_name(base))
    return Side(name=str(path), manifest=_mapping(manifest), record=_mapping(record) if record.is_file() else {})


def sides_of_release(destination: Destination, version: str, channel: str | None) -> Mapping[str, Side]:
    """Each image of a release, by what it is called. Raises UsageError where there is no such release."""
    there = [each for each in catalogues(destination) if channel in (None, each.channel)]
    known = [release.key for each in there for release in each.releases]
    found = only_one((release for each in there for release in each.named(version)), version, destination.place, known)
    origin = next(each.channel for each in there if each.named(found.key))
    return {
        f"{image.name} {image.architecture} {image.format}": Side(
            name=f"{found.key} ({image.format})",
            manifest=_paper(destination, origin, image, _MANIFEST),
            record=_paper(destination, origin, image, RECORD),
        )
        for image in found.images
    }


def _paper(destination: Destination, channel: str, image: ReleasedImage, suffix: str) -> Mapping[str, Any]:
    name = next((file.name for file in image.files if file.name.endswith(suffix)), None)
    content = destination.pointer(channel, name) if name is not None else None
    if content is None:
        raise HostError(f"{destination.place}/{channel} has no {suffix} of {image.name}", hint="publish it anew")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise HostError(f"{destination.place}/{channel}/{name} cannot be read: {exc}") from exc
    if not isinstance(found, dict):
        raise HostError(f"{destination.place}/{channel}/{name} holds no object")
    return found


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        return read_mapping(path)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: {exc}", hint="the manifest of an image is wanted") from exc
