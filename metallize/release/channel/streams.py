"""streams/v1: what LXD and Incus list and fetch of a channel, as their simplestreams clients read it.

Rules from their sources (canonical/lxd and lxc/incus, shared/simplestreams): a version's name begins with YYYYMMDD and
is sorted as text; a virtual machine is an item `disk-kvm.img` beside one of metadata, `lxd.tar.xz` for LXD and
`incus.tar.xz` for Incus, and its fingerprint is the digest of both files, one behind the other. Paths are relative to
where the channel is served, so that no address has to be known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from metallize.release.catalogue import Catalogue, Release, ReleasedFile, ReleasedImage

INDEX, IMAGES = "streams/v1/index.json", "streams/v1/images.json"
METADATA = ".lxd.tar.xz"
"""What the name of an image's metadata ends in."""
_ARCHITECTURES = {"x86-64": "amd64", "arm64": "arm64"}
_NEEDS = {"secureboot": "false"}
"""Nobody has shown that the image boots with keys that are enforced."""


def streams(catalogue: Catalogue) -> Iterator[tuple[str, bytes]]:
    """Both files; nothing where no image is for them."""
    products: dict[str, dict[str, object]] = {}
    for release in catalogue.releases:
        for image in release.images:
            metadata = next((file for file in image.files if file.name.endswith(METADATA)), None)
            architecture = _ARCHITECTURES.get(image.architecture)
            if metadata is None or architecture is None or not image.combined_sha256:
                continue
            product = products.setdefault(
                f"{release.name}:{catalogue.channel}:{architecture}:default",
                _product(release.name, catalogue.channel, architecture, image),
            )
            versions = product["versions"]
            assert isinstance(versions, dict)  # noqa: S101 - as `_product` made it
            versions[serial(release)] = {"items": dict(_items(image, metadata))}
    if not products:
        return
    index = {
        "format": "index:1.0",
        "index": {
            "images": {
                "datatype": "image-downloads",
                "format": "products:1.0",
                "path": IMAGES,
                "products": sorted(products),
            }
        },
    }
    images = {
        "content_id": "images",
        "datatype": "image-downloads",
        "format": "products:1.0",
        "products": products,
    }
    for name, content in ((INDEX, index), (IMAGES, images)):
        yield name, (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def serial(release: Release) -> str:
    """The version's name: it sorts as text as our versions do by number, and begins with a day."""
    if match := re.fullmatch(r"([0-9]{8})\.([0-9]{1,6})", release.version):
        return f"{match[1]}_{int(match[2]):06d}"
    return f"{release.published[:10].replace('-', '')}_{release.version}"


def _product(name: str, channel: str, architecture: str, image: ReleasedImage) -> dict[str, object]:
    return {
        "aliases": f"{name},{name}/{channel}",
        "arch": architecture,
        "lxd_requirements": _NEEDS,
        "os": name,
        "release": channel,
        "release_title": image.system or channel,
        "requirements": _NEEDS,
        "variant": "default",
        "versions": {},
    }


def _items(image: ReleasedImage, metadata: ReleasedFile) -> Iterator[tuple[str, dict[str, object]]]:
    """The metadata twice, the same file: each of the two takes an item by its type."""
    for kind in ("incus.tar.xz", "lxd.tar.xz"):
        yield kind, {**_item(metadata, kind), "combined_disk-kvm-img_sha256": image.combined_sha256}
    yield "disk.qcow2", _item(image.payload, "disk-kvm.img")


def _item(file: ReleasedFile, kind: str) -> dict[str, object]:
    return {"ftype": kind, "path": file.name, "sha256": file.sha256, "size": file.size_bytes}
