"""The write itself: data where the image has data, zeros where it has none, then everything read back."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metallize.command import run
from metallize.errors import HostError, UsageError
from metallize.events import Events, step
from metallize.files.image_format import format_of
from metallize.flash.blockmap import BLOCK_BYTES, Span, spans
from metallize.flash.readback import read_back
from metallize.flash.target import (
    is_device,
    mark_as_ours,
    new_file,
    open_device,
    partitions_anew,
    require_allowed,
    require_other,
)
from metallize.meter import Meter
from metallize.model.profile import ImageFormat
from metallize.qemu import chain

BLKZEROOUT = 0x127F
"""An ioctl(2) of linux/fs.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flashed:
    """What was written and read back."""

    target: Path
    size_bytes: int
    written_bytes: int
    """Of these, what the image has as data; the rest was zeroed."""
    sha256: str
    """Of the bytes that were read back from the target."""


def flash(image: Path, target: Path, events: Events, *, any_disk: bool = False) -> Flashed:
    """Write an image to a device, or to a file, and read it back; a container format is unpacked first.

    Raises UsageError where the target must not be written to, HostError where writing or reading back fails.
    """
    _require_image(image)
    device = is_device(target)
    require_other(target, image)
    if device:
        require_allowed(target, image.stat().st_size, any_disk=any_disk)
    with raw_image(image, events) as raw, open_image(raw) as source:
        size = raw.stat().st_size
        if device:
            return _to_device(source, size, target, events, any_disk=any_disk)
        return _to_file(source, size, target, events)


@contextmanager
def raw_image(image: Path, events: Events) -> Iterator[Path]:
    """The image as the disk's own bytes: itself, or what qemu-img(1) unpacks from qcow2, VMDK or VHDX beside it."""
    image_format = format_of(image)
    if image_format in (ImageFormat.RAW, ImageFormat.ISO):
        yield image
        return
    if image_format is ImageFormat.TAR:
        raise UsageError(f"{image} is no disk: machines boot it from the network", hint="flash an image of a disk")
    with tempfile.TemporaryDirectory(prefix=".metallize-flash-", dir=image.parent) as folder:
        raw = Path(folder, "raw")
        with step(events, "unpack", f"unpack {image.name} from {image_format}"), ExitStack() as stack:
            layers, numbers = chain.opened(stack, chain.chain_of(image, image_format))
            run(["qemu-img", "convert", "-O", "raw", chain.graph(layers), raw], pass_fds=numbers)
        yield raw


@contextmanager
def open_image(image: Path) -> Iterator[int]:
    """The image, open for reading. Raises UsageError where it cannot be."""
    try:
        number = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise UsageError(f"{image}: {exc.strerror}", hint="an image file is wanted") from exc
    try:
        yield number
    finally:
        os.close(number)


def _require_image(image: Path) -> None:
    try:
        found = image.stat()
    except OSError as exc:
        raise UsageError(f"{image}: {exc.strerror}", hint="an image file is wanted") from exc
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{image} is no file", hint="an image file is wanted")


def _to_device(source: int, size: int, target: Path, events: Events, *, any_disk: bool) -> Flashed:
    require_allowed(target, size, any_disk=any_disk)
    with open_device(target) as device:
        written = _write(source, size, device, target, events, zero=zero_device)
        digest = read_back(source, size, device, target, events)
        partitions_anew(device)
    return Flashed(target=target, size_bytes=size, written_bytes=written, sha256=digest)


def _to_file(source: int, size: int, target: Path, events: Events) -> Flashed:
    """A file appears whole or not at all; its holes are the image's."""
    with new_file(target) as (file, part):
        os.ftruncate(file, size)
        written = _write(source, size, file, target, events, zero=lambda *_: None)
        digest = read_back(source, size, file, target, events)
        mark_as_ours(file)
        part.replace(target)
    return Flashed(target=target, size_bytes=size, written_bytes=written, sha256=digest)


def _write(
    source: int, size: int, target: int, path: Path, events: Events, *, zero: Callable[[int, Span], None]
) -> int:
    """Write every span; returns how many bytes of data there were."""
    written = 0
    with step(events, "write", f"write to {path}") as handle:
        meter = Meter(handle, size)
        try:
            for span in spans(source, size):
                if span.data:
                    put(target, os.pread(source, span.length, span.start), span.start)
                    written += span.length
                else:
                    zero(target, span)
                meter.at(span.start + span.length)
            os.fsync(target)
        except OSError as exc:
            raise not_the_image(path, exc) from exc
        handle.detail = f"{written / 1e6:.0f} MB of data, {(size - written) / 1e6:.0f} MB of zeros"
    return written


def not_the_image(path: Path, exc: OSError) -> HostError:
    """The error for a write that failed."""
    return HostError(
        f"writing to {path} failed: {exc.strerror}; what it holds now is not the image",
        hint="is the medium sound, and is there room? write it again",
    )


def put(target: int, block: bytes, start: int) -> None:
    """Write all of a block at an offset."""
    view = memoryview(block)
    while view:
        count = os.pwrite(target, view, start)
        view, start = view[count:], start + count


def zero_device(target: int, span: Span) -> None:
    """Zeros by the device's own means where it has some (BLKZEROOUT writes them where it has none).

    The ioctl wants whole sectors: an image that ends within one gets its tail written.
    """
    whole = span.length // 512 * 512
    try:
        fcntl.ioctl(target, BLKZEROOUT, struct.pack("<QQ", span.start, whole))
    except OSError:
        whole = 0
    for start in range(span.start + whole, span.start + span.length, BLOCK_BYTES):
        put(target, bytes(min(BLOCK_BYTES, span.start + span.length - start)), start)
