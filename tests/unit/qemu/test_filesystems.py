"""Where a disk's partitions are."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.qemu.filesystems import Partition, holds_nothing, overlap, partitions, problem_of


def gpt(*spans: tuple[int, int]) -> bytes:
    head = bytearray(128 * 1024)
    head[512:520] = b"EFI PART"
    struct.pack_into("<QII", head, 512 + 72, 2, 128, 128)
    for number, (first, last) in enumerate(spans):
        at = 1024 + 128 * number
        head[at : at + 16] = b"t" * 16
        struct.pack_into("<QQ", head, at + 32, first, last)
    return bytes(head)


def test_gpt() -> None:
    assert partitions(gpt((34, 2047), (2048, 4095))) == (
        Partition(number=1, start_bytes=34 * 512, size_bytes=2014 * 512),
        Partition(number=2, start_bytes=1 << 20, size_bytes=1 << 20),
    )


def test_mbr() -> None:
    head = bytearray(1024)
    head[510:512] = b"\x55\xaa"
    head[446 + 16 + 4] = 0x83
    struct.pack_into("<II", head, 446 + 16 + 8, 2048, 4096)
    assert partitions(bytes(head)) == (Partition(number=2, start_bytes=1 << 20, size_bytes=2 << 20),)


def test_a_disk_without_a_table_is_one_filesystem() -> None:
    assert partitions(bytes(1024)) == (Partition(number=0, start_bytes=0, size_bytes=0),)


@given(st.binary(min_size=1024, max_size=4096), st.booleans())
def test_any_bytes_are_read(data: bytes, is_gpt: bool) -> None:
    head = data[:512] + (b"EFI PART" if is_gpt else data[512:520]) + data[520:]
    for partition in partitions(head):
        assert partition.start_bytes >= 0
        assert partition.size_bytes >= 0


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_a_filesystem_that_was_mounted_is_not_damaged_for_that(tmp_path: Path, damaged: bool) -> None:
    """e2fsck -p takes a filesystem with no backup of its features for clean, and -f finds the flag of a mounted one."""
    path = tmp_path / "fs.img"
    subprocess.run(["truncate", "-s", "6M", path], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "orphan_file", path], check=True)
    commands = ["feature orphan_present", *(["set_inode_field <2> links_count 7"] if damaged else [])]
    for command in commands:
        subprocess.run(["debugfs", "-w", "-R", command, path], check=True, capture_output=True)
    number = os.open(path, os.O_RDWR)
    try:
        problem = problem_of(number)
    finally:
        os.close(number)
    assert ("ref count is 7" in problem) is damaged
    assert bool(problem) is damaged


BIOS_BOOT = b"Hah!IdontNeedEFI"
"""The type of its partition, as a GPT has it."""


def begin(**pieces: bytes) -> bytes:
    """How a partition begins, with pieces at `at_N`."""
    data = bytearray(68 * 1024)
    for at, piece in pieces.items():
        start = int(at.removeprefix("at_"))
        data[start : start + len(piece)] = piece
    return bytes(data)


def test_what_holds_no_filesystem_of_a_system_need_not_be_checked() -> None:
    table = bytearray(gpt((34, 2047), (2048, 4095)))
    table[1024 : 1024 + 16] = BIOS_BOOT
    loader, other = partitions(bytes(table))
    assert holds_nothing(loader, begin(at_0=b"grub"))
    assert holds_nothing(other, begin(at_510=b"\x55\xaa", at_82=b"FAT32   "))
    assert holds_nothing(other, begin(at_510=b"\x55\xaa", at_54=b"FAT16   "))
    assert holds_nothing(other, begin(at_4086=b"SWAPSPACE2"))
    assert holds_nothing(other, begin())
    assert holds_nothing(other, begin(at_0=b"hsqs", at_600=b"more of it"))
    assert holds_nothing(other, begin(at_0=b"verity\0\0", at_4096=b"a tree of hashes"))
    assert not holds_nothing(other, begin(at_0=b"verity of another kind"))
    assert not holds_nothing(other, begin(at_0=b"XFSB"))
    assert not holds_nothing(other, begin(at_0=b"LUKS\xba\xbe"))
    assert not holds_nothing(other, begin(at_54=b"FAT16   ")), "without the mark at its sector's end"
    assert not holds_nothing(other, begin(at_65600=b"_BHRfS_M")), "btrfs begins with nothing"


def test_partitions_that_have_bytes_in_common() -> None:
    one, next_, within, *_ = partitions(gpt((34, 2047), (2048, 4095), (100, 100)))
    assert not overlap(one, next_)
    assert not overlap(next_, one)
    assert overlap(one, within)
    assert overlap(within, one)
    assert overlap(one, one)
