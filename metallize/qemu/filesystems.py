"""The filesystems on a guest's disk, looked at from the host while the guest is off; the disk is not changed.

Each partition is copied out of the overlay, its journal is replayed in the copy, as the next boot would, and then a
whole check must find nothing (e2fsck(8)).
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from metallize.command import run
from metallize.errors import HostError
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import descriptor_path, nameless_file

_SECTOR = 512
_HEAD = 128 * 1024
_GPT_ENTRY = 128
"""Bytes of an entry, at least (UEFI 2.10, 5.3.3)."""
_EXT_MAGIC = b"\x53\xef"
_EXT_MAGIC_AT = 1024 + 56
"""struct ext4_super_block, s_magic (kernel.org, ext4 Data Structures)."""
_PREENED = 3
"""e2fsck -p: 0 clean, 1 errors corrected, 2 the same and reboot; anything else needs a person (e2fsck(8))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A part of the disk; number 0 is a disk without a partition table."""

    number: int
    start_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One filesystem, and what the check said of it where it found something."""

    partition: Partition
    kind: str
    problem: str


def check_filesystems(plan: GuestPlan, folder: Path) -> tuple[Checked, ...]:
    """Every ext2, ext3 and ext4 filesystem of a disk whose machine is off; the copies have no name in `folder`.

    Raises HostError when the host lacks e2fsck, CommandError when the disk cannot be read.
    """
    head = _read(plan, folder, Partition(number=0, start_bytes=0, size_bytes=_HEAD))
    return tuple(
        Checked(partition=partition, kind="ext4", problem=_check_ext(plan, folder, partition))
        for partition in partitions(head)
        if _is_ext(plan, folder, partition)
    )


def partitions(head: bytes) -> tuple[Partition, ...]:
    """The partition table at the head of a disk: GPT (UEFI 2.10, 5.3), else MBR, else the disk itself; pure."""
    if head[_SECTOR : _SECTOR + 8] == b"EFI PART":
        return tuple(_gpt(head))
    found = tuple(_mbr(head)) if head[510:512] == b"\x55\xaa" else ()
    return found or (Partition(number=0, start_bytes=0, size_bytes=0),)


def _gpt(head: bytes) -> Iterator[Partition]:
    if len(head) < _SECTOR + 92:
        return
    table, count, size = struct.unpack_from("<QII", head, _SECTOR + 72)
    if size < _GPT_ENTRY:  # the guest wrote it: it may be anything
        return
    for number in range(1, min(count, len(head) // _GPT_ENTRY) + 1):
        at = table * _SECTOR + (number - 1) * size
        if at + _GPT_ENTRY > len(head):
            return
        first, last = struct.unpack_from("<QQ", head, at + 32)
        if any(head[at : at + 16]) and last >= first:
            yield Partition(number=number, start_bytes=first * _SECTOR, size_bytes=(last - first + 1) * _SECTOR)


def _mbr(head: bytes) -> Iterator[Partition]:
    for number in range(1, 5):
        kind = head[446 + 16 * (number - 1) + 4]
        start, sectors = struct.unpack_from("<II", head, 446 + 16 * (number - 1) + 8)
        if kind and sectors:
            yield Partition(number=number, start_bytes=start * _SECTOR, size_bytes=sectors * _SECTOR)


def _is_ext(plan: GuestPlan, folder: Path, partition: Partition) -> bool:
    first = Partition(number=0, start_bytes=partition.start_bytes, size_bytes=4096)
    return _read(plan, folder, first)[_EXT_MAGIC_AT : _EXT_MAGIC_AT + 2] == _EXT_MAGIC


def _check_ext(plan: GuestPlan, folder: Path, partition: Partition) -> str:
    if shutil.which("e2fsck") is None:
        raise HostError("`e2fsck` is not installed", hint="install it: sudo apt-get install e2fsprogs")
    with ExitStack() as stack:
        copy = nameless_file(stack, folder)
        _copy(plan, partition, copy)
        path = descriptor_path(copy)
        # what a boot does by itself: the journal is replayed, and files that were deleted while open are freed
        replayed = run(("e2fsck", "-p", path), check=False, pass_fds=(copy,))
        if replayed.status & ~_PREENED:
            return (replayed.stdout + replayed.stderr).strip()
        checked = run(("e2fsck", "-f", "-n", path), check=False, pass_fds=(copy,))
        return "" if checked.status == 0 else (checked.stdout + checked.stderr).strip()


def _read(plan: GuestPlan, folder: Path, partition: Partition) -> bytes:
    with ExitStack() as stack:
        copy = nameless_file(stack, folder)
        _copy(plan, partition, copy)
        return os.pread(copy, partition.size_bytes, 0)


def _copy(plan: GuestPlan, partition: Partition, into: int) -> None:
    """A part of the guest's disk into an open file, holes as holes."""
    if plan.overlay is None:
        raise AssertionError("the guest has no disk of its own")
    size = f",size={partition.size_bytes}" if partition.size_bytes else ""
    source = (
        f"driver=raw,offset={partition.start_bytes}{size},file.driver=qcow2,file.file.driver=file,"
        f"file.file.filename={plan.overlay}"
    )
    argv = ("qemu-img", "convert", "--image-opts", "-O", "raw", source, str(descriptor_path(into)))
    run(argv, pass_fds=(into, *plan.descriptors), hint="the guest's disk could not be read")
