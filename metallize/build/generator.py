"""Run one generator by its contract and take its answer: a sealed rootfs becomes a disk image."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metallize.build.engines.assembling import signing_failure
from metallize.build.engines.engine import Assembly, Engine, Output
from metallize.build.step import ASKED
from metallize.errors import GeneratorError, HostError
from metallize.files.sparse import extents
from metallize.model.profile import ImageFormat

FILES = "files.mtree"
"""What a generator may leave beside its image: the files of the root filesystem, as mtree(5) has them."""
_CHUNK = 1 << 20
_SPARE_BYTES = 128 << 20
_SIGNATURES = {
    ImageFormat.ISO: (0x8001, b"CD001"),
    ImageFormat.RAW: (0x1FE, b"\x55\xaa"),
    ImageFormat.QCOW2: (0, b"QFI\xfb"),
    ImageFormat.VMDK: (0, b"KDMV"),
    ImageFormat.VHDX: (0, b"vhdxfile"),
    ImageFormat.TAR: (257, b"ustar"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskImage:
    """An image that a generator made: where it is, what it is, and what the generator says of it."""

    path: Path
    format: ImageFormat
    size_bytes: int
    sha256: str
    facts: Mapping[str, Any]
    """result.json: kernel, os, packages, tools, rootfs_bytes, firmware."""


def sha256_of(path: Path) -> str:
    """The file's digest, read in pieces; holes are not read, which takes longer than to digest their zeros."""
    digest, zeros = hashlib.sha256(), bytes(_CHUNK)
    with path.open("rb", buffering=0) as file:
        for extent in extents(file.fileno(), os.fstat(file.fileno()).st_size):
            file.seek(extent.start)
            left = extent.length
            while left:
                count = min(_CHUNK, left)
                part = memoryview(zeros)[:count] if extent.hole else file.read(count)  # it may be less than asked for
                if not part:
                    break  # the file has become shorter
                digest.update(part)
                left -= len(part)
    return digest.hexdigest()


def make_image(
    engine: Engine, assembly: Assembly, image_format: ImageFormat, output: Output, *, rootfs_bytes: int
) -> DiskImage:
    """Seal, stream and generate. Raises GeneratorError or LayerError with the cause, HostError for a full disk."""
    require_space(assembly.out, rootfs_bytes, image_format)
    engine.assemble(assembly, output)
    if assembly.sign:
        _sign(engine, assembly, output)
    image, answer = assembly.out / "image", assembly.out / "result.json"
    try:
        facts = json.loads(answer.read_text())
        size = image.stat().st_size
    except (OSError, ValueError) as exc:
        raise GeneratorError(
            f"the generator ended well but its answer is not whole: {exc}",
            hint="its contract: /out/image, /out/result.json",
        ) from exc
    _require_listed(assembly.out / FILES, facts)
    if image_format is not ImageFormat.RAW or facts.get("firmware"):
        _require_signature(image, image_format)
    return DiskImage(path=image, format=image_format, size_bytes=size, sha256=sha256_of(image), facts=facts)


def _sign(engine: Engine, assembly: Assembly, output: Output) -> None:
    """Have the image signed. Raises GeneratorError with what the container says is wrong; HostError for a token."""
    _run_signer(engine, assembly, output)
    if assembly.token is not None:
        assembly.token(assembly.out / ASKED)
        _run_signer(engine, assembly, output)


def _run_signer(engine: Engine, assembly: Assembly, output: Output) -> None:
    try:
        lines = engine.run(assembly.sign, output)
    finally:
        engine.remove_leftovers([assembly.label])
    if lines is not None:
        raise signing_failure(assembly.name, lines)


def _require_listed(files: Path, facts: Mapping[str, Any]) -> None:
    """A list of files that a generator tells of is there, and is the one that it tells of."""
    told = facts.get("files")
    if isinstance(told, dict) and (not files.is_file() or sha256_of(files) != told.get("sha256")):
        raise GeneratorError("the generator's list of files is not the one that its answer tells of")


def _require_signature(image: Path, image_format: ImageFormat) -> None:
    """A raw image that no firmware boots may be anything, a bare filesystem say; every other one has its mark."""
    offset, signature = _SIGNATURES[image_format]
    with image.open("rb") as file:
        file.seek(offset)
        found = file.read(len(signature))
    if found != signature:
        raise GeneratorError(f"the generator's image is no {image_format}: {found!r} at {offset:#x}")


def require_space(folder: Path, rootfs_bytes: int, image_format: ImageFormat) -> None:
    """Fail before the work where the disk cannot hold it.

    A live CD holds the compressed squashfs and then the ISO; a disk the spooled rootfs and the filesystem.
    """
    need = rootfs_bytes * (1 if image_format is ImageFormat.ISO else 2) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        raise HostError(
            f"{folder.parent} has {free >> 20} MiB free; making this image needs about {need >> 20} MiB",
            hint="`metallize prune` makes room, or choose another folder with --build-dir",
        )
