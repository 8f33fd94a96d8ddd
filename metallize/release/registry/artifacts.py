"""Manifests and indexes, as texts that are made and read: the bytes depend on what they tell of alone.

OCI Image Specification 1.1, Image Manifest, Image Index and Guidelines for Artifact Usage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metallize.files.json_file import as_mapping, as_text

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
TITLE = "org.opencontainers.image.title"
"""The annotation that names a layer's file (OCI Image Specification, Annotations)."""
VERSION = "org.opencontainers.image.version"
EMPTY_CONTENT = b"{}"
RELEASE = "application/vnd.metallize.release.v1"
CHANNEL = "application/vnd.metallize.channel.v1"
STAGING = "application/vnd.metallize.staging.v1"
LOCK = "application/vnd.metallize.lock.v1"
GONE = "application/vnd.metallize.gone.v1"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What tells of a blob or a manifest."""

    media_type: str
    digest: str
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""
    """Of an index's entry, as Go spells it: amd64."""
    artifact_type: str = ""

    @property
    def title(self) -> str:
        return self.annotations.get(TITLE, "")

    def told(self) -> dict[str, Any]:
        """As manifests have it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        if self.architecture:
            found["platform"] = {"os": "linux", "architecture": self.architecture}
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index."""

    content: bytes
    media_type: str
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    entries: tuple[Descriptor, ...] = ()
    """Of an index."""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    def described(self, architecture: str = "") -> Descriptor:
        """As an index tells of it, or whatever has it as its subject."""
        return Descriptor(
            media_type=self.media_type, digest=self.digest, size_bytes=len(self.content), architecture=architecture
        )


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


EMPTY = Descriptor(
    media_type="application/vnd.oci.empty.v1+json", digest=digest_of(EMPTY_CONTENT), size_bytes=len(EMPTY_CONTENT)
)
"""The config of what needs none."""


def manifest(
    artifact_type: str,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str],
    *,
    config: Descriptor = EMPTY,
    subject: Descriptor | None = None,
) -> Document:
    """An artifact; an image, where the config says so and there is no artifact type."""
    told: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.told()}
    if artifact_type:
        told["artifactType"] = artifact_type
    told["layers"] = [each.told() for each in layers or (EMPTY,)]
    if subject is not None:
        told["subject"] = subject.told()
    if annotations:
        told["annotations"] = dict(annotations)
    return read_document(_text(told))


def index(entries: Sequence[Descriptor], annotations: Mapping[str, str], *, artifact_type: str = "") -> Document:
    """Several manifests under one name."""
    told: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [each.told() for each in entries]}
    if artifact_type:
        told["artifactType"] = artifact_type
    if annotations:
        told["annotations"] = dict(annotations)
    return read_document(_text(told))


def read_document(content: bytes) -> Document:
    """Raises ValueError, LookupError or TypeError for what is neither a manifest nor an index."""
    told = as_mapping(json.loads(content))
    config = told.get("config")
    return Document(
        content=content,
        media_type=as_text(told.get("mediaType") or (INDEX if "manifests" in told else MANIFEST)),
        artifact_type=as_text(told.get("artifactType", "")),
        config=_descriptor(config) if config is not None else None,
        layers=tuple(_descriptor(each) for each in told.get("layers") or () if each != EMPTY.told()),
        entries=tuple(_descriptor(each) for each in told.get("manifests") or ()),
        annotations=_annotations(told),
    )


def _descriptor(content: object) -> Descriptor:
    told = as_mapping(content)
    platform = as_mapping(told.get("platform") or {})
    return Descriptor(
        media_type=as_text(told["mediaType"]),
        digest=as_text(told["digest"]),
        size_bytes=int(told["size"]),
        annotations=_annotations(told),
        architecture=as_text(platform.get("architecture", "")),
        artifact_type=as_text(told.get("artifactType", "")),
    )


def _annotations(told: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: as_text(value) for name, value in as_mapping(told.get("annotations") or {}).items()}


def _text(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False).encode()
