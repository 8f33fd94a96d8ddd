"""A container disk, as KubeVirt and its importer (CDI) take one: an image of one layer, from scratch.

KubeVirt user guide, containerDisk: the disk is in /disk, and is the user's 107, which is QEMU's there.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from metallize.command import run
from metallize.errors import HostError
from metallize.files.vanishing import scratch_folder
from metallize.model.profile import ImageFormat
from metallize.release.catalogue import Release, ReleasedImage
from metallize.release.packing import Unpacker
from metallize.release.registry import artifacts
from metallize.release.registry.artifacts import CONFIG, Descriptor, Document
from metallize.release.signing.decoding import disk_digest

PAYLOAD = "metallize.payload"
"""The annotation that tells which file of the release the disk was made of, by its digest."""
ARCHITECTURES = {"x86-64": "amd64", "arm64": "arm64"}
"""As Go spells them (OCI Image Specification, Image Index, platform)."""
_OWNER = 107
_SECTOR_BYTES = 512
_PIECE_BYTES = 1 << 20


def disks_of(release: Release) -> Iterator[tuple[str, ReleasedImage]]:
    """Of each architecture the image that its disk is made of: the qcow2, or else the raw disk."""
    found: dict[str, ReleasedImage] = {}
    for image in release.images:
        is_disk = image.format == "qcow2" or (image.format == "raw" and image.image_bytes % _SECTOR_BYTES == 0)
        architecture = ARCHITECTURES.get(image.architecture)
        if is_disk and architecture and (architecture not in found or image.format == "qcow2"):
            found[architecture] = image
    yield from sorted(found.items())


def fill_layer(image: ReleasedImage, payload: BinaryIO, target: BinaryIO, seen: Callable[[int], None]) -> None:
    """Write the layer's tar archive; `payload` is the file that is fetched. Its bytes depend on the disk's alone.

    Raises HostError where the payload is not the one of the release.
    """
    name = f"disk/{image.payload.name.removesuffix('.xz').removesuffix('.raw').removesuffix('.qcow2')}.qcow2"
    if image.format == "qcow2":
        _members(target, name, image.payload.size_bytes, _checked(image, payload, seen))
        return
    with scratch_folder("metallize-disk-") as folder:
        raw, disk = Path(folder, "raw"), Path(folder, "qcow2")
        with raw.open("wb") as file:
            for piece in _unpacked(image, payload, seen):
                if piece.count(0) == len(piece):
                    file.seek(len(piece), 1)
                else:
                    file.write(piece)
            file.truncate(image.image_bytes)
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk])
        raw.unlink()
        if disk_digest(disk, ImageFormat.QCOW2) != image.image_sha256:
            raise HostError(
                f"{name} does not hold the disk that was booted", hint="is qemu-img, or TMPDIR's disk, sound?"
            )
        with disk.open("rb") as file:
            _members(target, name, disk.stat().st_size, iter(lambda: file.read(_PIECE_BYTES), b""))


def config_of(layer: Descriptor, architecture: str) -> bytes:
    """What runtimes go by: for which machines it is. It says no time."""
    told = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }
    return json.dumps(told, sort_keys=True).encode()


def image_of(layer: Descriptor, config: Descriptor, image: ReleasedImage, version: str) -> Document:
    """Its manifest."""
    annotations = {PAYLOAD: f"sha256:{image.payload.sha256}", artifacts.VERSION: version}
    described = Descriptor(media_type=CONFIG, digest=config.digest, size_bytes=config.size_bytes)
    return artifacts.manifest("", [layer], annotations, config=described)


def _members(target: BinaryIO, name: str, size: int, pieces: Iterator[bytes]) -> None:
    folder = _member("disk", 0o755)
    folder.type = tarfile.DIRTYPE
    target.write(folder.tobuf(tarfile.PAX_FORMAT))
    file = _member(name, 0o440)
    file.size = size
    target.write(file.tobuf(tarfile.PAX_FORMAT))
    target.writelines(pieces)
    target.write(bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))


def _member(name: str, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.uid = member.gid = _OWNER
    member.mode, member.mtime = mode, 0
    return member


def _unpacked(image: ReleasedImage, payload: BinaryIO, seen: Callable[[int], None]) -> Iterator[bytes]:
    """The disk itself, compared with the one that was booted."""
    unpacker, digest = Unpacker(most_bytes=image.image_bytes), hashlib.sha256()
    try:
        for raw in _checked(image, payload, seen):
            for piece in unpacker.add(raw):
                digest.update(piece)
                yield piece
        unpacker.end()
    except ValueError as exc:
        raise HostError(f"{image.payload.name} cannot be unpacked: {exc}", hint="publish it anew") from exc
    if digest.hexdigest() != image.image_sha256:
        raise HostError(f"{image.payload.name} does not unpack to the image that was booted", hint="publish it anew")


def _checked(image: ReleasedImage, payload: BinaryIO, seen: Callable[[int], None]) -> Iterator[bytes]:
    digest, done = hashlib.sha256(), 0
    while piece := payload.read(_PIECE_BYTES):
        digest.update(piece)
        done += len(piece)
        seen(done)
        yield piece
    if digest.hexdigest() != image.payload.sha256:
        raise HostError(
            f"{image.payload.name} is not the file that the catalogue tells of",
            hint="somebody has changed it: retract the release, and publish it anew",
        )
