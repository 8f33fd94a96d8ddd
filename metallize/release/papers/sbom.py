"""What an image is made of, as a CycloneDX 1.6 bill of materials: packages, layers, the base.

It is made from the image's manifest, which has the packages from the image's own dpkg database, and their licences
from its copyright files where a program can read these; where none can, `metallize:licences` says unknown. Files that
no package brought are in none of its components, so the list is declared incomplete.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from metallize.release.gate.licences import UNKNOWN, spdx_id

_IMAGE = "image"
_NAMESPACE = uuid.UUID("f3a9d5c6-6e0f-5c0e-9a51-0d2b7c4f8e11")
"""Of serial numbers that are made from an image's digest; it means nothing else."""


def sbom_text(name: str, version: str, manifest: Mapping[str, Any]) -> str:
    """The whole document; the same for the same image, whenever it is made."""
    sha256 = str(manifest["sha256"])
    image = Component(
        name=name,
        version=version,
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref=_IMAGE,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        properties=[Property(name=f"metallize:{key}", value=value) for key, value in _facts(manifest)],
    )
    components = _unique([*_containers(manifest), *_packages(manifest)])
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, f"{name} {version} {sha256}"),
        components=components,
        metadata=BomMetaData(component=image, timestamp=_made(manifest)),
        dependencies=[
            Dependency(ref=image.bom_ref, dependencies=[Dependency(ref=each.bom_ref) for each in components])
        ],
    )
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    if "made" not in manifest:
        del content["metadata"]["timestamp"]  # the library puts today's there, and two hosts would differ
    content["compositions"] = [{"aggregate": "incomplete", "assemblies": [_IMAGE]}]  # the library has no word for it
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _made(manifest: Mapping[str, Any]) -> datetime | None:
    """When the image was made; nothing here says when it was written."""
    if "made" not in manifest:
        return None
    made = datetime.fromisoformat(str(manifest["made"]))
    if made.tzinfo is None:
        raise ValueError("the manifest's time names no zone")
    return made


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("kernel", "kernel_boot_params", "plan", "platform", "profile", "metallize"):
        if manifest.get(key):
            yield key, str(manifest[key])


def _packages(manifest: Mapping[str, Any]) -> Iterator[Component]:
    """Each with its package URL; its source package where the manifest tells of one."""
    distribution = manifest.get("os") if isinstance(manifest.get("os"), Mapping) else {}
    vendor = str(distribution.get("ID") or "debian")  # type: ignore[union-attr]  # a mapping by now
    release = str(distribution.get("VERSION_ID") or "")  # type: ignore[union-attr]
    for package in manifest.get("packages", ()):
        name, version, architecture = (str(package[key]) for key in ("name", "version", "architecture"))
        qualifiers = {"arch": architecture}
        if release:
            qualifiers["distro"] = f"{vendor}-{release}"
        source, source_version = (str(package.get(key) or "") for key in ("source", "source_version"))
        if source and (source, source_version or version) != (name, version):
            same = source_version in {"", version}
            qualifiers["upstream"] = source if same else f"{source}@{source_version}"
        purl = PackageURL(type="deb", namespace=vendor, name=name, version=version, qualifiers=qualifiers)
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=purl.to_string(),
            group=vendor,
            licenses=[_licence(str(each)) for each in package.get("licences", ())],
            properties=[
                Property(name=f"metallize:{key}", value=value)
                for key, value in (
                    ("source", source),
                    ("source_version", source_version),
                    ("licences", "" if "licences" in package else UNKNOWN),
                )
                if value
            ],
        )


def _licence(name: str) -> DisjunctiveLicense:
    """By SPDX's identifier where it has one, else in the words of the copyright file, `or` and `and` among them."""
    known = spdx_id(name)
    return DisjunctiveLicense(id=known) if known else DisjunctiveLicense(name=name)


def _containers(manifest: Mapping[str, Any]) -> Iterator[Component]:
    """The base image, then the layers that stand on it."""
    base = manifest.get("base")
    if isinstance(base, Mapping) and base.get("reference"):
        yield _container(str(base["reference"]), str(base.get("digest", "")), "base")
    for layer in manifest.get("layers", ()):
        yield _container(str(layer["name"]), str(layer.get("digest", "")), "layer")


def _container(name: str, digest: str, role: str) -> Component:
    kind, _, value = digest.partition(":")
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=value)] if kind == "sha256" else []
    return Component(
        name=name,
        type=ComponentType.CONTAINER,
        bom_ref=f"{role}:{name}:{value}",
        hashes=hashes,
        properties=[Property(name="metallize:role", value=role)],
    )


def _unique(components: list[Component]) -> list[Component]:
    """A layer may be stacked twice; a reference stands for one component."""
    return list({each.bom_ref.value: each for each in components}.values())
