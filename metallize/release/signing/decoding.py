"""What a file holds that was packed or converted after it was released, so that statements of the image are found.

Packers: xz, gzip, bzip2, zstd. Disks: qcow2, VMDK and VHDX, as a guest sees them. What is found is a digest, and it
counts for nothing until a signature names it.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from metallize.build.generator import sha256_of
from metallize.command import run
from metallize.errors import CommandError, UsageError, VerificationFailed
from metallize.files.image_format import format_of
from metallize.files.vanishing import scratch_folder
from metallize.model.profile import ImageFormat
from metallize.qemu.chain import chain_of, graph, opened
from metallize.release.packing import read_back

DISKS = frozenset({ImageFormat.QCOW2, ImageFormat.VMDK, ImageFormat.VHDX})
"""Containers that are one file of many that hold the same disk."""
_CHUNK = 1 << 20
_XZ, _GZIP, _BZIP2, _ZSTD = b"\xfd7zXZ\0", b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
_DISK_MAGIC = (b"QFI\xfb", b"KDMV", b"vhdxfile")
_MAGIC_BYTES = 8
_AGAIN = "fetch it again"


def digests_of(image: Path) -> Iterator[str]:
    """Of the file, of what it unpacks to, and of the disk that is in there: what takes longer comes later.

    Raises UsageError where it cannot be read, VerificationFailed where it is damaged, HostError without zstd or QEMU
    where one of them is needed.
    """
    try:
        with image.open("rb") as file:
            head = file.read(_MAGIC_BYTES)
            if head.startswith(_XZ):  # more strictly than lzma.open, which is content with what follows the end
                file.seek(0)
                content = read_back(file)
                yield from (content.sha256, content.image_sha256)
            else:
                yield sha256_of(image)
        yield from _inside(image, head)
    except (EOFError, ValueError, lzma.LZMAError, gzip.BadGzipFile) as exc:
        raise VerificationFailed(f"{image} is damaged: {exc}", hint=_AGAIN) from exc
    except OSError as exc:
        if exc.errno is None:  # bz2 has no error of its own
            raise VerificationFailed(f"{image} is damaged: {exc}", hint=_AGAIN) from exc
        raise UsageError(f"{image}: {exc.strerror}", hint="an image's file is wanted") from exc


def disk_digest(image: Path, image_format: ImageFormat) -> str:
    """Of the disk in a container, as a raw file would hold it.

    Raises VerificationFailed where it stands on other files, or is damaged; HostError without qemu-img.
    """
    layers = chain_of(image, image_format)
    if len(layers) > 1 or layers[0].data is not None:
        raise VerificationFailed(
            f"{image} stands on other files",
            hint="make one whole image of it: qemu-img convert -O qcow2 IMAGE whole.qcow2",
        )
    with scratch_folder("metallize-disk-") as folder, ExitStack() as stack:
        first, numbers = opened(stack, layers)
        raw = Path(folder, "disk.raw")
        try:
            run(["qemu-img", "convert", "-O", "raw", graph(first), raw], pass_fds=numbers)
        except CommandError as exc:
            if exc.full:
                raise
            raise VerificationFailed(f"{image} is damaged: {exc}", hint=_AGAIN) from exc
        return sha256_of(raw)


def _inside(image: Path, head: bytes) -> Iterator[str]:
    """Of what is packed in it, but for xz, whose is known; and of a disk in either."""
    if head.startswith(_DISK_MAGIC):
        yield disk_digest(image, format_of(image))
        return
    if not head.startswith((_XZ, _GZIP, _BZIP2, _ZSTD)):
        return
    with scratch_folder("metallize-unpacked-") as folder:
        plain = Path(folder, "image")
        if head.startswith(_ZSTD):
            _unzstd(image, plain)
        else:
            with _opened(image, head) as unpacked:
                inner = unpacked.read(_MAGIC_BYTES)
                if not inner.startswith(_DISK_MAGIC):
                    if not head.startswith(_XZ):
                        yield _digest(inner, unpacked)
                    return
                with plain.open("wb") as copy:
                    copy.write(inner)
                    shutil.copyfileobj(unpacked, copy, _CHUNK)
        yield sha256_of(plain)
        with plain.open("rb") as file:
            if file.read(_MAGIC_BYTES).startswith(_DISK_MAGIC):
                yield disk_digest(plain, format_of(plain))


def _opened(image: Path, head: bytes) -> IO[bytes]:
    if head.startswith(_XZ):
        return lzma.open(image)
    return cast("IO[bytes]", gzip.open(image)) if head.startswith(_GZIP) else bz2.open(image)


def _unzstd(image: Path, plain: Path) -> None:
    """By zstd(1): the library is in no Python that we run on."""
    try:
        run(["zstd", "--decompress", "--quiet", "-o", plain, image.absolute()], hint="install zstd, or unpack it first")
    except CommandError as exc:
        if exc.full:
            raise
        raise VerificationFailed(f"{image} is damaged: {exc}", hint=_AGAIN) from exc


def _digest(head: bytes, rest: IO[bytes]) -> str:
    digest = hashlib.sha256(head)
    while chunk := rest.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
