"""What is to be released, and what is known of it: a verified image with the papers that tell of the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metallize.build.store import Store
from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.files.json_file import as_mapping, read_mapping
from metallize.files.vanishing import scratch_folder
from metallize.model.profile import ImageFormat, Platform
from metallize.model.rules import ReleaseRules
from metallize.proof import Proof, record_of
from metallize.publish import VerifiedImage

_OF_THE_BUILD_FOLDER = "file"
"""What the manifest says of the file's time there, which no other copy has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ware:
    """One image, and what it is to be called."""

    image: VerifiedImage
    platform: Platform
    format: ImageFormat
    profile: str
    """The profile's name, as statements have it."""
    name: str
    """Of the release."""
    version: str | None
    """None for the day's next one."""
    rules: ReleaseRules = field(default_factory=ReleaseRules)
    """What stops its release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What is read of the image's papers, once, and shipped so."""

    manifest: Mapping[str, Any]
    record: bytes
    proof: Proof
    files: bytes | None = None
    """Which files the image has; None where it was built by a metallize that did not say."""

    @property
    def record_told(self) -> Mapping[str, Any]:
        """The record, read: `papers_of` has seen that it can be."""
        return as_mapping(json.loads(self.record))

    @property
    def system(self) -> str:
        """What the image calls itself; empty where its manifest does not say."""
        system = self.manifest.get("os")
        return str(system.get("PRETTY_NAME", "")) if isinstance(system, Mapping) else ""

    @property
    def firmware(self) -> tuple[str, ...]:
        """What the image can be booted by, as its generator says."""
        found = self.manifest.get("firmware")
        return tuple(str(each) for each in found) if isinstance(found, list) else ()

    @property
    def manifest_bytes(self) -> bytes:
        told = {name: value for name, value in self.manifest.items() if name != _OF_THE_BUILD_FOLDER}
        return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def papers_of(ware: Ware) -> Papers:
    """Raises VerificationFailed where a paper tells of other bytes than those that were verified."""
    image = ware.image
    manifest, record = image.papers
    with scratch_folder("metallize-release-") as folder:
        copy = Path(folder, image.path.name)
        try:
            told = read_mapping(manifest)
            shutil.copyfile(record, record_of(copy))
            content = record_of(copy).read_bytes()
        except ValueError as exc:
            raise VerificationFailed(f"{manifest} does not tell of {image.path}: {exc}") from exc
        except OSError as exc:
            raise HostError(f"{exc.filename or manifest}: {exc.strerror or exc}") from exc
        proof = Proof.load(copy)
    if told.get("sha256") != image.sha256:
        raise VerificationFailed(f"{manifest} does not tell of {image.path}")
    if proof.sha256 != image.sha256 or not proof.whole:
        raise VerificationFailed(f"{record} does not tell of {image.path}")
    return Papers(manifest=told, record=content, proof=proof, files=_files(image.path, told))


def _files(image: Path, told: Mapping[str, Any]) -> bytes | None:
    """The list that the manifest tells of. Raises VerificationFailed where it is another, or not there."""
    entry = told.get("files")
    if not isinstance(entry, Mapping):
        return None
    path = Store(build_dir=image.parent, file=image.name).files
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise VerificationFailed(f"{path}: {exc.strerror}", hint="build the image again") from exc
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise VerificationFailed(f"{path} does not tell of {image}", hint="build the image again")
    return content


def require_one_release(wares: tuple[Ware, ...]) -> tuple[str, str | None]:
    """The name and the version that all images of a release have. Raises UsageError where they do not agree."""
    versions = {ware.version for ware in wares}
    if len(versions) > 1:
        told = ", ".join(sorted(f"{each.image.path.name}: {each.version or 'none'}" for each in wares))
        raise UsageError(
            f"the outputs of one release have one version ({told})", hint="give each the same output.version"
        )
    places: dict[tuple[str, Platform, ImageFormat], str] = {}
    for ware in wares:
        other = places.setdefault((ware.name, ware.platform, ware.format), ware.image.path.name)
        if other != ware.image.path.name:
            raise UsageError(
                f"{other} and {ware.image.path.name} would have one name in a release: {ware.name}, {ware.format}",
                hint="give them different names with output.name",
            )
    return wares[0].name, wares[0].version
