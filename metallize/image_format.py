"""What an image is, by its content and not by its name; and whether all of it is there."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from metallize.errors import UsageError
from metallize.model.profile import ImageFormat

HEAD_BYTES = 0x8006
"""As far as the signature of ISO 9660's first volume descriptor."""
SECTOR = 512
CD_SECTOR = 2048

_PACKED = (
    (b"\xfd7zXZ\0", "compressed with xz", "unxz --keep"),
    (b"\x1f\x8b", "compressed with gzip", "gunzip --keep"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unzstd"),
    (b"BZh", "compressed with bzip2", "bunzip2 --keep"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unlz4"),
    (b"PK\x03\x04", "a zip archive", "unzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x"),
)
"""Signature, what a file with it is, and the command that unpacks it."""
_OTHER_DISKS = ((0, b"conectix", "a VHD"), (0x40, b"\x7f\x10\xda\xbe", "a VDI of VirtualBox"))
"""Where a signature stands, and the disk that it is of: QEMU reads them, the verification does not."""
_TEXT = re.compile(rb"[\t\r\x20-\x7e]{0,510}\n[\t\n\r\x20-\x7e]{0,511}")
"""At least one line."""


def format_of(image: Path) -> ImageFormat:
    """What an image is, by its content.

    Raises UsageError where it cannot be read, is empty, or is no image that a machine could boot as it is.
    """
    try:
        if image.exists() and not (image.is_file() or image.is_dir()):
            raise UsageError(f"{image} is no file", hint="copy what is in it to a file")
        with image.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as exc:
        raise UsageError(f"{image}: {exc.strerror}", hint="an image file to boot is wanted") from exc
    if not head:
        raise UsageError(f"{image} is empty", hint="an image file to boot is wanted")
    _refuse_other(image, head)
    for signature, found in (
        (b"QFI\xfb", ImageFormat.QCOW2),
        (b"KDMV", ImageFormat.VMDK),
        (b"vhdxfile", ImageFormat.VHDX),
    ):
        if head.startswith(signature):
            return found
    if head[257:262] == b"ustar":  # POSIX.1, pax; GNU tar's own format too
        return ImageFormat.TAR
    return ImageFormat.ISO if head[0x8001:0x8006] == b"CD001" else ImageFormat.RAW


def _refuse_other(image: Path, head: bytes) -> None:
    """Raises UsageError for what is known to be something else than a disk image."""
    for signature, what, unpack in _PACKED:
        if head.startswith(signature):
            raise UsageError(f"{image} is {what}: no machine boots it as it is", hint=f"unpack it: {unpack} {image}")
    for at, signature, what in _OTHER_DISKS:
        if head[at:].startswith(signature):
            raise UsageError(
                f"{image} is {what}, which is not supported",
                hint=f"convert it: qemu-img convert -O qcow2 {image} {image.stem}.qcow2",
            )
    if _TEXT.fullmatch(head[:SECTOR]):
        line = head.decode("ascii", "replace").split("\n", 1)[0].strip()[:60]
        raise UsageError(f"{image} is no disk image, but text: {line}", hint="see whether its download went wrong")


def cut_short(image: Path, image_format: ImageFormat) -> str:
    """What is missing at the end of an image, in words; empty where nothing is, or where its format does not tell.

    An ISO 9660 volume says its size (ECMA-119, 8.4.8), a GPT where each partition ends (UEFI specification, 5.3.3).
    """
    with image.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if image_format is ImageFormat.ISO:
            file.seek(16 * CD_SECTOR + 80)
            head = file.read(4)
            wanted = struct.unpack("<I", head)[0] * CD_SECTOR if len(head) == 4 else 0  # noqa: PLR2004 - a number's bytes
            what = "its volume"
        elif image_format is ImageFormat.RAW:
            file.seek(SECTOR)
            header = file.read(92)
            if not header.startswith(b"EFI PART") or len(header) < 92:  # noqa: PLR2004 - the header's fields
                return ""
            at, count, each = struct.unpack_from("<QII", header, 72)
            if not (each >= 128 and count * each <= 1 << 20):  # noqa: PLR2004 - the least size of an entry
                return ""
            if at * SECTOR >= size:
                return f"the image is cut short (its partition table is at byte {at * SECTOR}, and its end at {size})"
            file.seek(at * SECTOR)
            table = file.read(count * each)
            entries = (table[start : start + each] for start in range(0, len(table) - 127, each))
            ends = [struct.unpack_from("<Q", entry, 40)[0] + 1 for entry in entries if any(entry[:16])]
            wanted = max(ends, default=0) * SECTOR
            what = "its last partition"
        else:
            return ""
    if wanted <= size:
        return ""
    return f"the image is cut short ({what} ends at byte {wanted}, and the file at byte {size})"
