"""The write itself: data where the image has data, zeros where it has none, then everything read back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metallize.command import run
from metallize.errors import HostError, UsageError
from metallize.events import Events, StepHandle, step
from metallize.files.image_format import format_of
from metallize.flash.blockmap import BLOCK_BYTES, Span, spans
from metallize.flash.devices import disk_named, refusal
from metallize.model.profile import ImageFormat
from metallize.qemu import chain

# ioctl(2) numbers of linux/fs.h
BLKRRPART, BLKFLSBUF, BLKZEROOUT, BLKGETSIZE64 = 0x125F, 0x1261, 0x127F, 0x80081272
_TELLING_SECONDS = 1.0
"""So long at the least a pace is watched before it is told."""


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


def is_device(target: Path) -> bool:
    """Whether the target is a block device. Raises UsageError for what is neither that nor a file."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if target.resolve().is_relative_to("/dev"):
            raise UsageError(
                f"there is no device {target}", hint="`metallize flash` alone lists the removable ones"
            ) from None
        if not target.parent.is_dir():
            raise UsageError(f"{target}: there is no folder {target.parent}") from None
        return False
    except OSError as exc:
        raise UsageError(f"{target}: {exc.strerror}") from exc
    if not stat.S_ISBLK(mode) and not stat.S_ISREG(mode):
        raise UsageError(f"{target} is neither a disk nor a file", hint="`metallize flash` alone lists removable disks")
    return stat.S_ISBLK(mode)


def require_allowed(target: Path, size_bytes: int, *, any_disk: bool) -> None:
    """Raises UsageError where the device must not be written to."""
    name = _kernel_name(target)
    disk = disk_named(name)
    if disk is None:
        raise UsageError(f"{target} is no disk that the kernel knows", hint="`metallize flash` alone lists them")
    refused = refusal(disk, size_bytes=size_bytes, any_disk=any_disk)
    if refused is not None:
        raise UsageError(refused[0], hint=refused[1])


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


def _kernel_name(target: Path) -> str:
    number = target.stat().st_rdev
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return link.resolve().name if link.exists() else target.resolve().name


def _to_device(source: int, size: int, target: Path, events: Events, *, any_disk: bool) -> Flashed:
    require_allowed(target, size, any_disk=any_disk)
    try:
        # O_EXCL on a block device fails while anything (a mount, LVM, another writer) holds it: open(2).
        device = os.open(target, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except PermissionError as exc:
        raise HostError(f"{target} may not be written to by this user", hint="run it with sudo") from exc
    except OSError as exc:
        why = "something holds it" if exc.errno == errno.EBUSY else exc.strerror
        raise HostError(f"{target} cannot be opened for writing: {why}") from exc
    try:
        written = _write(source, size, device, target, events, zero=_zero_device)
        with contextlib.suppress(OSError):
            fcntl.ioctl(device, BLKFLSBUF)  # so that what is read back comes from the device
        digest = _read_back(source, size, device, target, events)
        with contextlib.suppress(OSError):
            fcntl.ioctl(device, BLKRRPART)
    finally:
        os.close(device)
    return Flashed(target=target, size_bytes=size, written_bytes=written, sha256=digest)


def _to_file(source: int, size: int, target: Path, events: Events) -> Flashed:
    """A file appears whole or not at all; its holes are the image's."""
    part = target.with_name(f".{target.name}.part")
    try:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise HostError(f"{part} cannot be written: {exc.strerror}") from exc
    try:
        os.ftruncate(file, size)
        written = _write(source, size, file, target, events, zero=lambda *_: None)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        digest = _read_back(source, size, file, target, events)
        part.replace(target)
    finally:
        os.close(file)
        part.unlink(missing_ok=True)
    return Flashed(target=target, size_bytes=size, written_bytes=written, sha256=digest)


def _write(
    source: int, size: int, target: int, path: Path, events: Events, *, zero: Callable[[int, Span], None]
) -> int:
    """Write every span; returns how many bytes of data there were."""
    written = 0
    with step(events, "write", f"write to {path}") as handle:
        meter = _Meter(handle, size)
        try:
            for span in spans(source, size):
                if span.data:
                    _put(target, os.pread(source, span.length, span.start), span.start)
                    written += span.length
                else:
                    zero(target, span)
                meter.at(span.start + span.length)
            os.fsync(target)
        except OSError as exc:
            raise HostError(
                f"writing to {path} failed: {exc.strerror}; what it holds now is not the image",
                hint="is the medium sound, and is there room? write it again",
            ) from exc
        handle.detail = f"{written / 1e6:.0f} MB of data, {(size - written) / 1e6:.0f} MB of zeros"
    return written


def _put(target: int, block: bytes, start: int) -> None:
    view = memoryview(block)
    while view:
        count = os.pwrite(target, view, start)
        view, start = view[count:], start + count


def _zero_device(target: int, span: Span) -> None:
    """Zeros by the device's own means where it has some (BLKZEROOUT writes them where it has none).

    The ioctl wants whole sectors: an image that ends within one gets its tail written.
    """
    whole = span.length // 512 * 512
    try:
        fcntl.ioctl(target, BLKZEROOUT, struct.pack("<QQ", span.start, whole))
    except OSError:
        whole = 0
    for start in range(span.start + whole, span.start + span.length, BLOCK_BYTES):
        _put(target, bytes(min(BLOCK_BYTES, span.start + span.length - start)), start)


def _read_back(source: int, size: int, target: int, path: Path, events: Events) -> str:
    """Compare the target with the image, block by block; returns the digest of what was read."""
    digest = hashlib.sha256()
    with step(events, "read back", f"read back from {path}") as handle:
        meter = _Meter(handle, size)
        for start in range(0, size, BLOCK_BYTES):
            length = min(BLOCK_BYTES, size - start)
            try:
                block = os.pread(target, length, start)
            except OSError as exc:
                raise HostError(
                    f"{path} cannot be read back at byte {start}: {exc.strerror}", hint="is the medium sound?"
                ) from exc
            if block != os.pread(source, length, start):
                raise HostError(
                    f"{path} does not hold what was written to it: it differs in the block at byte {start}",
                    hint="the medium is worn, or smaller than it says: use another",
                )
            digest.update(block)
            meter.at(start + length)
        handle.detail = f"sha256 {digest.hexdigest()[:12]}, the image's own"
    return digest.hexdigest()


class _Meter:
    """Says how far a step has come, once per percent."""

    def __init__(self, handle: StepHandle, size: int) -> None:
        self._handle, self._size, self._said = handle, size, -1
        self._begun = time.monotonic()

    def at(self, done: int) -> None:
        percent = done * 100 // self._size
        if percent > self._said:
            self._said = percent
            left = time_left(time.monotonic() - self._begun, done, self._size)
            self._handle.output(f"{percent} % of {self._size / 1e6:.0f} MB{left}")


def time_left(seconds: float, done: int, total: int) -> str:
    """How long the rest takes at the pace so far, in words; empty where that is too early to tell, or over."""
    if seconds < _TELLING_SECONDS or not 0 < done < total:
        return ""
    left = seconds * (total - done) / done
    return f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"  # noqa: PLR2004 - a minute
