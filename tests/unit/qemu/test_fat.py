"""A FAT as a power cut may leave it: what fsck.fat says of it, and what of that is damage."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.qemu.slots import fat
from metallize.qemu.slots.fat import damage_in, damage_of
from metallize.qemu.write_log import Cut, WriteLog, read_log
from tests.unit.qemu.test_moments import log_of

SIZE = 64 << 20
FILE = "/a-kernel-with-a-long-name.efi"


@dataclass(frozen=True)
class Fat:
    """A FAT32 with a file of some clusters and a folder, and where things are in it."""

    path: Path
    table: int
    copy: int
    """Where its second table begins."""
    root: int
    entry: int
    """Where the folder says where the file is."""

    @classmethod
    def made(cls, path: Path) -> Fat:
        with path.open("wb") as file:
            file.truncate(SIZE)
        tool("/usr/sbin/mkfs.fat", "-F", "32", "-s", "1", path)
        content = path.with_name("content")
        content.write_bytes(b"k" * 5000)
        tool("mcopy", "-i", path, content, f"::{FILE}")
        tool("mmd", "-i", path, "::/folder")
        sector, _, reserved, copies = struct.unpack_from("<HBHB", path.read_bytes(), 11)
        (length,) = struct.unpack_from("<I", path.read_bytes(), 36)
        table = reserved * sector
        root = table + copies * length * sector
        entries = path.read_bytes()[root : root + sector]
        first = next(at for at in range(0, sector, 32) if entries[at] and entries[at + 11] != 0x0F)
        return cls(path=path, table=table, copy=table + length * sector, root=root, entry=root + first)

    def put(self, at: int, content: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(content)

    def cluster(self, number: int, value: int) -> None:
        for table in (self.table, self.copy):
            self.put(table + 4 * number, struct.pack("<I", value))

    @property
    def first(self) -> int:
        """The file's first cluster."""
        (number,) = struct.unpack_from("<H", self.path.read_bytes(), self.entry + 26)
        return int(number)

    def damage(self) -> tuple[str, ...]:
        number = os.open(self.path, os.O_RDONLY)
        try:
            return damage_of(number)
        finally:
            os.close(number)


def tool(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def share(it: Fat) -> None:
    entry = it.path.read_bytes()[it.entry : it.entry + 32]
    it.put(it.root + 480, b"OTHER   EFI" + entry[11:])


@pytest.fixture
def made(tmp_path: Path) -> Fat:
    return Fat.made(tmp_path / "fat.img")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda _it: None,
        lambda it: it.put(0x41, b"\1"),
        lambda it: it.put(it.copy + 400, struct.pack("<I", 0x0FFFFFFF)),
        lambda it: it.cluster(100, 0x0FFFFFFF),
        lambda it: it.put(512 + 488, struct.pack("<I", 77)),
        lambda it: it.put(512 + 488, struct.pack("<I", 0xFFFFFFFF)),
        lambda it: it.put(it.entry + 28, struct.pack("<I", 600)),
        lambda it: it.put(it.entry + 26, bytes(6)),
        lambda it: it.put(it.entry, b"\xe5"),
    ],
    ids=["whole", "dirty", "copy", "lost", "free-count", "no-count", "beyond-its-end", "empty", "half-a-name"],
)
def test_what_every_cut_leaves_is_no_damage(made: Fat, change: Callable[[Fat], None]) -> None:
    change(made)
    assert made.damage() == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: it.put(it.entry + 28, struct.pack("<I", 50_000)), "cluster chain length is 5120 bytes"),
        (lambda it: it.cluster(it.first + 1, 0), "Contains a free cluster"),
        (lambda it: it.put(it.entry + 26, bytes(2)), "cluster chain length is 0 bytes"),
        (share, "share clusters"),
        (lambda it: it.put(it.entry + 32 + 26, bytes(2)), "Start does point to root directory"),
        (lambda it: it.put(90, b"zz"), "There are differences between boot sector and its backup"),
        (lambda it: it.put(11, bytes(2)), "Logical sector size is zero"),
        (lambda it: os.truncate(it.path, 1 << 20), "Failed to read sector"),
        (lambda it: it.cluster(it.first + 3, it.first), "share clusters|Circular cluster chain"),
    ],
    ids=["short", "free", "no-content", "shared", "no-folder", "boot-sector", "no-fat", "cut-short", "circle"],
)
def test_what_destroys_files_is_damage(made: Fat, change: Callable[[Fat], None], words: str) -> None:
    change(made)
    found = made.damage()
    assert any(word in line for line in found for word in words.split("|")), found


def test_what_is_not_known_is_damage() -> None:
    assert damage_in("fsck.fat 4.2 (2021-01-31)\nIt has never been seen.\n") == ("It has never been seen.",)
    both = "There are differences between boot sector and its backup.\nDifferences: (offset:original/backup)\n"
    assert damage_in(f"{both}  65:01/00, 90:7a/0e\n  Not automatically fixing this.\n")


def test_a_host_without_fsck_fat_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fat, "_FOLDERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"fsck\.fat") as raised:
        damage_of(0)
    assert raised.value.hint == "install it: sudo apt-get install dosfstools"


def test_a_copy_of_a_part_follows_its_disk(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(8192))
    log = written(tmp_path, [(0, b"a" * 1024), (1536, b"b" * 1024), (4096, b"c" * 512), None, (2048, b"d" * 512)])
    with path.open("r+b") as disk, (tmp_path / "copy").open("w+b") as file:
        file.truncate(2048)
        copy = fat.Copy(
            log=log, disk=disk.fileno(), start=1024, size=2048, number=file.fileno(), cut=Cut(flushed=0)
        )  # fmt: skip
        for cut, content in (
            (Cut(flushed=1, reached=(1,)), bytes(512) + b"b" * 1024 + bytes(512)),
            (Cut(flushed=1), bytes(2048)),
            (Cut(flushed=3, reached=(3,), torn=256), bytes(512) + b"b" * 512 + b"d" * 256 + b"b" * 256 + bytes(512)),
        ):
            whole = content.rjust(3072, b"\0").ljust(8192, b"\0")
            os.pwrite(disk.fileno(), whole, 0)
            copy.follow(cut)
            assert os.pread(file.fileno(), 4096, 0) == content
    os.close(log.number)


def written(folder: Path, steps: list[tuple[int, bytes] | None]) -> WriteLog:
    return read_log(os.open(log_of(folder / "log", steps), os.O_RDONLY))
