"""os_list.json: what Raspberry Pi Imager offers, for `rpi-imager --repo URL`.

The fields are those of its schema (raspberrypi/rpi-imager, doc/json-schema/os-list-schema.json), which requires all but
the last three of them. Imager writes the first block of a card only when what it unpacked has `extract_sha256`: here
that is the digest of the image that was booted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from metallize.release.catalogue import Catalogue, Release, ReleasedImage
from metallize.release.channel.serving import base_url

FILE = "os_list.json"
ICON = "icon.svg"
"""Beside the list where nobody has named another: Imager shows no entry well that has none."""
_FIRMWARE = "videocore"
_DEVICES = ("pi3-64bit", "pi4-64bit")
"""Tags of the boards that the rpi generator makes cards for, as Raspberry Pi's own list has them."""
_ARCHITECTURES = {"arm64": "armv8"}
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">'
    '<rect x="8" y="4" width="48" height="56" rx="6" fill="#1f6f43"/>'
    '<path d="M18 12v12M26 12v12M34 12v12M42 12v12" stroke="#f2d16b" stroke-width="4" stroke-linecap="round"/>'
    '<path d="M22 44l7 7 14-16" fill="none" stroke="#fff" stroke-width="5" stroke-linecap="round"/></svg>\n'
)
"""A memory card with a tick; drawn for this."""


def os_lists(catalogue: Catalogue) -> Iterator[tuple[str, bytes]]:
    """The list, and its icon where it needs one; nothing where no card is offered, or nobody has said at which URL."""
    url = base_url(catalogue)
    entries = list(_entries(catalogue, url)) if url else []
    if not entries:
        return
    yield FILE, (json.dumps({"os_list": entries}, indent=1, ensure_ascii=False) + "\n").encode()
    if not catalogue.serving.icon:
        yield ICON, PICTURE.encode()


def _entries(catalogue: Catalogue, url: str) -> Iterator[dict[str, object]]:
    icon = catalogue.serving.icon or f"{url}/{ICON}"
    for release in catalogue.releases:
        for image in release.images:
            if _FIRMWARE in image.firmware:
                yield _entry(release, image, url, icon)


def _entry(release: Release, image: ReleasedImage, url: str, icon: str) -> dict[str, object]:
    proven = f"booted and passed on {', '.join(image.machines)}"
    entry: dict[str, object] = {
        "name": f"{release.name} {release.version}",
        "description": f"{image.system}: {proven}" if image.system else proven,
        "icon": icon,
        "url": f"{url}/{image.payload.name}",
        "extract_size": image.image_bytes,
        "extract_sha256": image.image_sha256,
        "image_download_size": image.payload.size_bytes,
        "release_date": release.published[:10],
        "devices": list(_DEVICES),
        "website": f"{url}/index.html#{release.key}",
    }
    if image.architecture in _ARCHITECTURES:
        entry["architecture"] = _ARCHITECTURES[image.architecture]
    block_map = next((file.name for file in image.files if file.name.endswith(".bmap")), None)
    if block_map is not None:
        entry["bmap_url"] = f"{url}/{block_map}"
    return entry
