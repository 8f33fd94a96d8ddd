"""Images that were verified without a boot, and ready to be released."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from metallize.build.generator import sha256_of
from metallize.build.store import Store
from metallize.events import Silent
from metallize.model.profile import ImageFormat, Platform, release_name_for
from metallize.model.rules import ReleaseRules
from metallize.publish import verified_image
from metallize.release.destinations import Destination, destination_at
from metallize.release.publishing import Published, Terms, publish
from metallize.release.wares import Ware
from tests.unit.proof.proofs import OVMF, SEABIOS, proven

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
CONTENT = bytes(range(256)) * 2048 + bytes(1 << 20) + b"the end, in the middle of a block"
FORMATS = {".raw": ImageFormat.RAW, ".qcow2": ImageFormat.QCOW2, ".iso": ImageFormat.ISO}
PACKAGES = [
    {"name": "base-files", "version": "13.8+deb13u8", "architecture": "amd64"},
    {"name": "adduser", "version": "3.152", "architecture": "all"},
]


def ware(
    build: Path,
    content: bytes = CONTENT,
    file: str = "web.raw",
    name: str | None = None,
    version: str | None = None,
    *,
    rules: ReleaseRules | None = None,
    **told: object,
) -> Ware:
    """An image that held what was asked of it, in a build folder of its own."""
    store = Store(build_dir=build, file=file)
    with store.workspace() as work:
        image = work / "image"
        image.write_bytes(content)
        manifest = {
            "inputs": "in", "sha256": sha256_of(image), "size": len(content), "format": "raw", "packages": PACKAGES,
            "made": "2026-11-29T00:00:00+00:00", "metallize": "0.1.0", "kernel": "6.12", "os": {"ID": "debian"},
            **told,
        }  # fmt: skip
        store.publish(image, manifest)
    proven(store.image, SEABIOS, OVMF)
    return Ware(
        image=verified_image(store, hint=""),
        platform=Platform.AMD64,
        format=FORMATS[Path(file).suffix],
        profile="web",
        name=name or release_name_for(file),
        version=version,
        rules=rules or ReleaseRules(),
    )


def released(
    where: Path | Destination, *wares: Ware, channel: str = "stable", level: int = 0, **terms: object
) -> Published:
    """Publish them in a moment that is always the same."""
    destination = destination_at(str(where)) if isinstance(where, Path) else where
    return publish(wares, destination, Silent(), Terms(channel=channel, level=level, **{"now": NOW, **terms}))  # type: ignore[arg-type]  # of a test


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a channel, as a client sees them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def catalogue(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "releases.json").read_text())
    return found
