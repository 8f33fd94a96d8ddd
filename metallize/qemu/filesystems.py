"""The filesystems on a guest's disk, looked at from the host while the guest is off; the disk is not changed.

Each partition is copied out of the overlay, its journal is replayed in the copy, as the next boot would, and then a
whole check must find nothing (e2fsck(8)).
"""

from __future__ import annotations

import os
import shutil
import struct
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from metallize.command import run
from metallize.errors import CommandError, HostError
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import descriptor_path, nameless_file

_SECTOR = 512
HEAD_BYTES = 128 * 1024
"""As much of a disk as may hold its partition table."""
_GPT_ENTRY = 128
"""Bytes of an entry, at least (UEFI 2.10, 5.3.3)."""
_EXT_MAGIC = b"\x53\xef"
_EXT_MAGIC_AT = 1024 + 56
"""struct ext4_super_block, s_magic (kernel.org, ext4 Data Structures)."""
_BEGIN = 68 * 1024
"""As far as btrfs has its first superblock, before which all is zero."""
_WITHOUT = frozenset(
    {
        uuid.UUID(guid).bytes_le
        for guid in (
            "21686148-6449-6e6f-744e-656564454649",  # BIOS boot
            "9e1a2d38-c612-4316-aa26-8b49521e5a8b",  # PReP
            "e3c9e316-0b5c-4db8-817d-f92df00215ae",  # Microsoft reserved
        )
    }
)
"""Types of partitions of a GPT that hold no filesystem."""
_READ_ONLY = (b"hsqs", b"verity\0\0")
"""How squashfs begins, and a hash tree (kernel.org, Squashfs; cryptsetup, DMVerity)."""
_PREENED = 3
"""e2fsck -p: 0 clean, 1 errors corrected, 2 the same and reboot; anything else needs a person (e2fsck(8))."""


_NO_ORPHANS = "Feature orphan_present is set but orphan file is clean."
"""What it says of each that was mounted when the power went, though a mount takes it back: no damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A part of the disk; number 0 is a disk without a partition table."""

    number: int
    start_bytes: int
    size_bytes: int
    type: bytes = field(default=b"", compare=False, repr=False)
    """As the table has it: a GUID, or the one byte of an MBR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One filesystem, and what the check said of it where it found something."""

    partition: Partition
    kind: str
    """Empty where it is none that is known here: nobody has checked it then."""
    problem: str


def check_filesystems(plan: GuestPlan, folder: Path) -> tuple[Checked, ...]:
    """Every ext2, ext3 and ext4 filesystem of a disk whose machine is off; the copies have no name in `folder`.

    What else may hold a filesystem that the guest writes to is among them, as one that nobody has checked. Raises
    HostError when the host lacks e2fsck, CommandError when the disk cannot be read.
    """
    head = _read(plan, folder, Partition(number=0, start_bytes=0, size_bytes=HEAD_BYTES))
    known: list[Partition] = []
    found = []
    for partition in partitions(head):
        # the guest wrote the table: a thousand times the same gigabytes would be a thousand copies
        twofold = any(overlap(partition, each) for each in known)
        known.append(partition)
        checked = _unchecked(partition, "it overlaps another") if twofold else _checked(plan, folder, partition)
        if checked is not None:
            found.append(checked)
    return tuple(found)


def overlap(one: Partition, other: Partition) -> bool:
    """Whether two partitions have bytes in common; pure."""
    begins = max(one.start_bytes, other.start_bytes)
    return begins < min(one.start_bytes + one.size_bytes, other.start_bytes + other.size_bytes)


def _checked(plan: GuestPlan, folder: Path, partition: Partition) -> Checked | None:
    """What is in a partition; None where nothing is that could be damaged."""
    size = min(_BEGIN, partition.size_bytes or _BEGIN)
    begins = Partition(number=0, start_bytes=partition.start_bytes, size_bytes=size)
    try:
        begin = _read(plan, folder, begins)
        if is_ext(begin):
            return Checked(partition=partition, kind="ext4", problem=_check_ext(plan, folder, partition))
    except CommandError as exc:
        if exc.full:
            raise
        return _unchecked(partition, "it is not on the disk, or not all of it")
    return None if holds_nothing(partition, begin) else _unchecked(partition, "")


def is_ext(begin: bytes) -> bool:
    """Whether a partition that begins so holds an ext2, ext3 or ext4 filesystem."""
    return begin[_EXT_MAGIC_AT : _EXT_MAGIC_AT + 2] == _EXT_MAGIC


def _unchecked(partition: Partition, why: str) -> Checked:
    return Checked(partition=partition, kind="", problem=why)


def holds_nothing(partition: Partition, begin: bytes) -> bool:
    """Whether it holds no filesystem that a system writes to: a loader's partition, swap, FAT, squashfs, nothing. Pure.

    Nor is the hash tree of dm-verity written to: whatever reads it finds out what was changed.
    """
    is_fat = begin[510:512] == b"\x55\xaa" and b"FAT" in (begin[54:57], begin[82:85])
    is_read_only = begin.startswith(_READ_ONLY)
    return partition.type in _WITHOUT or is_fat or is_read_only or begin[4086:4096] == b"SWAPSPACE2" or not any(begin)


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
            size_bytes, kind = (last - first + 1) * _SECTOR, head[at : at + 16]
            yield Partition(number=number, start_bytes=first * _SECTOR, size_bytes=size_bytes, type=kind)


def _mbr(head: bytes) -> Iterator[Partition]:
    for number in range(1, 5):
        kind = head[446 + 16 * (number - 1) + 4]
        start, sectors = struct.unpack_from("<II", head, 446 + 16 * (number - 1) + 8)
        if kind and sectors:
            sized = sectors * _SECTOR
            yield Partition(number=number, start_bytes=start * _SECTOR, size_bytes=sized, type=bytes([kind]))


def _check_ext(plan: GuestPlan, folder: Path, partition: Partition) -> str:
    with ExitStack() as stack:
        copy = nameless_file(stack, folder)
        _copy(plan, partition, copy)
        return problem_of(copy)


def problem_of(copy: int) -> str:
    """What e2fsck finds in an ext4 filesystem, whose journal it replays first; empty where all is well.

    Raises HostError where there is no e2fsck.
    """
    if shutil.which("e2fsck") is None:
        raise HostError("`e2fsck` is not installed", hint="install it: sudo apt-get install e2fsprogs")
    path = descriptor_path(copy)
    # what a boot does by itself: the journal is replayed, and files that were deleted while open are freed
    replayed = run(("e2fsck", "-p", path), check=False, pass_fds=(copy,))
    if replayed.status & ~_PREENED:
        return (replayed.stdout + replayed.stderr).strip()
    check = ("e2fsck", "-f", "-n", path)
    checked = run(check, check=False, pass_fds=(copy,))
    if checked.status and _NO_ORPHANS in checked.stdout:
        run(("debugfs", "-w", "-R", "feature -orphan_present", path), check=False, pass_fds=(copy,))
        checked = run(check, check=False, pass_fds=(copy,))
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
