"""Filesystems at moments at which the power might have gone: a real ext4 on a disk, written to offline."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.model.profile import ImageFormat
from metallize.qemu.argv import GuestPlan
from metallize.qemu.moments import check_moments, copy_part, disks_at, spread
from metallize.qemu.write_log import Cut
from tests.unit.qemu.test_argv import PLAN
from tests.unit.qemu.test_filesystems import gpt

pytestmark = pytest.mark.slow
SECTOR, START, SIZE = 512, 1 << 20, 16 << 20
LAST = (START + SIZE) // SECTOR - 1


@dataclass(frozen=True)
class Disk:
    """An image with one ext4 filesystem, and what writing a tree of files to it changed."""

    image: Path
    blocks: tuple[tuple[int, bytes], ...]

    def plan(self, log: Path, *, grown: int = 0) -> GuestPlan:
        size = self.image.stat().st_size + grown
        return replace(
            PLAN, image=self.image, image_format=ImageFormat.RAW, disk_bytes=size, write_log=log, descriptors=()
        )


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    folder = tmp_path_factory.mktemp("disk")
    before, after = folder / "before", folder / "after"
    part = folder / "part"
    with part.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "1024", "-E", "lazy_itable_init=0", part], check=True)
    head = gpt((START // SECTOR, LAST))
    before.write_bytes(head.ljust(START, b"\0") + part.read_bytes())
    (folder / "content").write_bytes(random.Random(1).randbytes(40_000))  # noqa: S311 - no secret
    asked = "".join(f"mkdir d{n}\nwrite {folder / 'content'} d{n}/f\n" for n in range(20))
    subprocess.run(["debugfs", "-w", "-f", "-", part], input=asked.encode(), check=True, capture_output=True)
    after.write_bytes(head.ljust(START, b"\0") + part.read_bytes())
    old, new = before.read_bytes(), after.read_bytes()
    changed = tuple(
        (at, new[at : at + 1024]) for at in range(0, len(old), 1024) if old[at : at + 1024] != new[at : at + 1024]
    )
    assert len(changed) > 500
    return Disk(before, changed)


def log_of(path: Path, steps: Sequence[tuple[int, bytes] | None]) -> Path:
    """Writes, and flushes where there is None."""
    parts = [struct.pack("<QQQI", 0x6A736677736872, 1, len(steps), SECTOR)]
    for step in steps:
        if step is None:
            parts.append(struct.pack("<QQQQ", 0, 0, 1, 0))
        else:
            parts += [struct.pack("<QQQQ", step[0] // SECTOR, len(step[1]) // SECTOR, 0, 0), step[1]]
    path.write_bytes(b"".join(part.ljust(-(-len(part) // SECTOR) * SECTOR, b"\0") for part in parts))
    return path


def test_what_is_whole_after_each_flush_is_whole(disk: Disk, tmp_path: Path) -> None:
    """Nothing was written before the first flush, and after it nothing else."""
    log = log_of(tmp_path / "log", [None, None])
    seen = check_moments(disk.plan(log, grown=1 << 20), tmp_path, 5, 1)
    assert (seen.tried, seen.checks, seen.writes, seen.flushes, seen.faults) == (5, 5, 0, 2, ())
    assert [path.name for path in tmp_path.iterdir()] == ["log"], "nothing is left"


def test_writes_that_no_journal_orders_are_found_out(disk: Disk, tmp_path: Path) -> None:
    """As of a filesystem without barriers: whole before and after, and at hardly a moment between."""
    log = log_of(tmp_path / "log", [None, *disk.blocks, None])
    before = disk.image.read_bytes()
    seen = check_moments(disk.plan(log), tmp_path, 300, 7)
    assert seen.faults
    assert all(fault.cut.reached for fault in seen.faults), "what was flushed is whole"
    assert all(fault.partition == 1 and fault.problem for fault in seen.faults)
    again = check_moments(disk.plan(log), tmp_path, 300, 7)
    assert [fault.cut for fault in again.faults] == [fault.cut for fault in seen.faults], "of a seed it is the same"
    assert disk.image.read_bytes() == before
    assert seen.tried < 300, "after twenty it is known"


def test_a_check_leaves_the_disk_as_it_was(disk: Disk, tmp_path: Path) -> None:
    """What e2fsck replays or mends at one moment is not there at the next: the last is whole whatever was before."""
    half = len(disk.blocks) // 2
    log = log_of(tmp_path / "log", [*disk.blocks[:half], None, *disk.blocks[half:], None])
    seen = check_moments(disk.plan(log), tmp_path, 40, 3)
    damaged = {fault.cut.flushed for fault in seen.faults if not fault.cut.reached}
    assert half in damaged, "half of it is damaged"
    assert len(disk.blocks) not in damaged


def test_disks_to_boot_are_those_of_the_moments(disk: Disk, tmp_path: Path) -> None:
    half = len(disk.blocks) // 2
    log = log_of(tmp_path / "log", [*disk.blocks[:half], None, *disk.blocks[half:], None])
    before = disk.image.read_bytes()
    seen = []
    with disks_at(disk.plan(log, grown=1 << 20), tmp_path, 40, 3, 4) as disks:
        for each in disks:
            subprocess.run(
                ["qemu-img", "convert", "-O", "raw", each.plan.overlay or "", tmp_path / "raw"],
                check=True, pass_fds=each.plan.descriptors,
            )  # fmt: skip
            found = (tmp_path / "raw").read_bytes()
            assert len(found) == len(before) + (1 << 20)
            wanted = bytearray(before.ljust(len(found), b"\0"))
            reached = [*range(each.cut.flushed), *each.cut.reached]
            for number in reached:
                at, content = disk.blocks[number]
                torn = each.cut.torn if each.cut.torn is not None and number == reached[-1] else len(content)
                wanted[at : at + torn] = content[:torn]
            assert found == wanted
            assert each.plan.write_log is None
            seen.append(each.cut)
    assert len(seen) == 4
    assert seen == sorted(seen, key=lambda cut: cut.flushed)
    assert disk.image.read_bytes() == before


def test_moments_to_boot_are_spread_over_all() -> None:
    found = [Cut(flushed=number) for number in range(10)]
    assert [cut.flushed for cut in spread(found, 1)] == [5]
    assert [cut.flushed for cut in spread(found, 2)] == [2, 7]
    assert [cut.flushed for cut in spread(found, 5)] == [1, 3, 5, 7, 9]
    assert spread(found, 99) == tuple(found)
    assert spread(found, 0) == ()


def test_a_part_is_copied_with_its_holes(tmp_path: Path) -> None:
    content = bytearray(8 << 20)
    for at in (0, 999, (1 << 20) + 5, (3 << 20) - 7, 5 << 20, len(content) - 1):
        content[at] = 1 + at % 255
    with (tmp_path / "from").open("w+b") as source:
        source.truncate(len(content))
        for at in (0, 1 << 20, 2 << 20, 5 << 20, 7 << 20):
            os.pwrite(source.fileno(), content[at : at + (1 << 20)], at)
        for start, size in ((0, len(content)), (1 << 20, 2 << 20), (700, 6 << 20), (5 << 20, 99 << 20)):
            with (tmp_path / f"to {start}").open("w+b") as target:
                copy_part(source.fileno(), start, size, target.fileno())
                assert target.read() == content[start : start + size]
                assert os.fstat(target.fileno()).st_blocks * 512 <= os.fstat(source.fileno()).st_blocks * 512


def test_a_disk_with_nothing_to_check_and_a_log_that_is_none(disk: Disk, tmp_path: Path) -> None:
    empty = Disk(tmp_path / "empty", ())
    empty.image.write_bytes(bytes(1 << 20))
    log = log_of(tmp_path / "log", [(0, b"x" * 512), None])
    seen = check_moments(empty.plan(log), tmp_path, 3, 1)
    assert (seen.tried, seen.checks) == (3, 0)
    os.truncate(log, 700)
    with pytest.raises(HostError, match="what the guest wrote is not known"):
        check_moments(disk.plan(log), tmp_path, 3, 1)
