"""What an image is, by its content and not by its name."""

from __future__ import annotations

from pathlib import Path

from metallize.errors import UsageError
from metallize.model.profile import ImageFormat


def format_of(image: Path) -> ImageFormat:
    """What an image is, by its content. Raises UsageError where it cannot be read or is empty."""
    try:
        if image.exists() and not (image.is_file() or image.is_dir()):
            raise UsageError(f"{image} is no file", hint="copy what is in it to a file")
        with image.open("rb") as file:
            head = file.read(0x8006)
    except OSError as exc:
        raise UsageError(f"{image}: {exc.strerror}", hint="an image file to boot is wanted") from exc
    if not head:
        raise UsageError(f"{image} is empty", hint="an image file to boot is wanted")
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
