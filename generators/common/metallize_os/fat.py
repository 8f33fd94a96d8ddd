"""A FAT filesystem inside a disk image, filled with files, and where one of them stands in the image."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from metallize_os import job

SECTOR = 512
_BIG_CLUSTERS = 272 << 20
"""From this size on a FAT32 of 4 KiB clusters has the 65,525 of them below which EDK2 takes it for FAT16."""
_RANGE = re.compile(rb"<(\d+)(?:-(\d+))?>\s*$")


def make(image: Path, files: Mapping[str, bytes], *, offset: int, size: int, volume_id: str, epoch: int) -> None:
    """A FAT32 of `size` bytes at `offset` of the image, with the files by their whole names."""
    env = _environment(epoch)
    with image.open("ab") as disk:
        disk.truncate(max(disk.tell(), offset + size))
    job.tool(
        "mkfs.vfat", "--invariant", "-F", "32", "-s", "8" if size >= _BIG_CLUSTERS else "1",
        "-i", volume_id, "-n", "ESP", "--offset", str(offset // SECTOR), image, str(size // 1024),
        env=env,
    )  # fmt: skip
    drive = f"{image}@@{offset}"
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "/"}
    job.tool("mmd", "-i", drive, *(f"::{folder}" for folder in sorted(parents)), env=env)
    for name, content in files.items():
        job.tool("mcopy", "-i", drive, "-", f"::{name}", stdin=content, env=env)


def read(image: Path, *, offset: int, into: Path, epoch: int) -> dict[str, bytes]:
    """Every file of the filesystem at `offset` by its whole name, sorted; they pass through a new folder."""
    into.mkdir()
    job.tool("mcopy", "-s", "-n", "-i", f"{image}@@{offset}", "::*", into, env=_environment(epoch))
    found = sorted(each for each in into.rglob("*") if each.is_file())
    return {f"/{each.relative_to(into)}": each.read_bytes() for each in found}


def clear(image: Path, *, offset: int, size: int) -> None:
    """A hole where the filesystem was: nothing of its files is left in the image."""
    job.tool("fallocate", "--punch-hole", "--offset", str(offset), "--length", str(size), image)


def place_of(image: Path, name: str, content: bytes, *, offset: int, epoch: int) -> int:
    """At which byte of the image the file's content stands in one piece; the filesystem is at `offset`."""
    told = job.tool("mshowfat", "-i", f"{image}@@{offset}", f"::{name}", env=_environment(epoch))
    found = _RANGE.search(told)
    if found is None or told.count(b"<") != 1:
        job.fail(f"{name} does not stand in one piece on the ESP: {told.decode('utf-8', 'replace').strip()}")
    with image.open("rb") as disk:
        disk.seek(offset)
        start = offset + cluster_at(disk.read(SECTOR), int(found[1]))
        disk.seek(start)
        if hashlib.sha256(disk.read(len(content))).digest() != hashlib.sha256(content).digest():
            job.fail(f"{name} does not stand on the ESP where mshowfat says")
    return start


def cluster_at(boot_sector: bytes, number: int) -> int:
    """The byte within the filesystem at which a cluster begins (Microsoft FAT Specification, BPB and FAT32)."""
    bytes_per_sector, sectors, reserved, tables = struct.unpack_from("<HBHB", boot_sector, 11)
    (table_sectors,) = struct.unpack_from("<I", boot_sector, 36)
    return int(bytes_per_sector * (reserved + tables * table_sectors + (number - 2) * sectors))


def _environment(epoch: int) -> dict[str, str]:
    return {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
