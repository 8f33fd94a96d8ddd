"""What is written to: a disk, or a file; and whether anybody would lose something by it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metallize.errors import HostError, UsageError
from metallize.flash.devices import disk_named, refusal

_DISK_NAME = re.compile(r"(?:[hsv]d|xvd)[a-z]+\d*|(?:mmcblk|nbd|loop|r?disk|md|sr|nvme\d+n)\d+(?:[ps]\d+)?")
"""What kernels call disks and their partitions, Linux and those that people come from."""
_BLKRRPART = 0x125F
"""An ioctl(2) of linux/fs.h."""
_OURS = "user.metallize.flashed"
"""An extended attribute of a file that flash made: its size and the time of its last change (xattr(7))."""


def is_device(target: Path) -> bool:
    """Whether the target is a block device. Raises UsageError for what is neither that nor a file, nor becomes one."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if target.resolve().is_relative_to("/dev"):
            raise UsageError(
                f"there is no device {target}", hint="`metallize flash` alone lists the removable ones"
            ) from None
        if not target.parent.is_dir():
            raise UsageError(f"{target}: there is no folder {target.parent}") from None
        _require_name_of_a_file(target)
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


def _require_name_of_a_file(target: Path) -> None:
    """Raises UsageError for a new file whose name is that of a disk, or of nothing at all: it was mistyped."""
    if target.suffix:
        return
    device = Path("/dev", target.name)
    if _DISK_NAME.fullmatch(target.name) or device.exists():
        near = f"the disk is {device}" if device.exists() else f"a disk is written /dev/{target.name}"
        raise UsageError(
            f"{target} is no disk, and a file of that name would be none either",
            hint=f"{near}; `metallize flash` alone lists the removable ones; a file: {target.name}.img",
        )
    raise UsageError(
        f"there is no {target}, and a new file gets a suffix that says what it is",
        hint=f"a file: {target}.img; a disk: `metallize flash` alone lists the removable ones",
    )


def require_other(target: Path, image: Path) -> None:
    """Raises UsageError where the target is the image itself, by whatever name."""
    with suppress(FileNotFoundError):
        if target.samefile(image):
            raise UsageError(f"{target} is the image itself", hint="name another file, or a disk")


@contextmanager
def open_device(target: Path) -> Iterator[int]:
    """A disk, open for reading and writing, held by nobody else. Raises HostError where that cannot be."""
    try:
        # O_EXCL on a block device fails while anything (a mount, LVM, another writer) holds it: open(2).
        device = os.open(target, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except PermissionError as exc:
        raise HostError(f"{target} may not be written to by this user", hint="run it with sudo") from exc
    except OSError as exc:
        why = "something holds it" if exc.errno == errno.EBUSY else exc.strerror
        raise HostError(f"{target} cannot be opened for writing: {why}") from exc
    try:
        yield device
    finally:
        os.close(device)


def partitions_anew(device: int) -> None:
    """Have the kernel look at the partitions of an open disk again; some disks have none."""
    with suppress(OSError):
        fcntl.ioctl(device, _BLKRRPART)


@contextmanager
def new_file(target: Path) -> Iterator[tuple[int, Path]]:
    """A file beside the target, open, to be renamed to it when it is whole; removed where it is not."""
    part = target.with_name(f".metallize-{secrets.token_hex(8)}.part")
    try:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise HostError(f"a file in {target.parent} cannot be written: {exc.strerror}") from exc
    try:
        yield file, part
    finally:
        os.close(file)
        part.unlink(missing_ok=True)


def holds_something(target: Path) -> bool:
    """Whether a file is there that is more than an empty one, and not as flash itself has left it."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    try:
        mark = os.getxattr(target, _OURS)
    except OSError:
        return True
    return mark != _mark(found)


def mark_as_ours(file: int) -> None:
    """Note on an open file that is complete that flash made it; some filesystems take no such note."""
    with suppress(OSError):
        os.setxattr(file, _OURS, _mark(os.fstat(file)))


def _mark(found: os.stat_result) -> bytes:
    return f"{found.st_size} {found.st_mtime_ns}".encode()


def _kernel_name(target: Path) -> str:
    number = target.stat().st_rdev
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return link.resolve().name if link.exists() else target.resolve().name
