"""The ext4 root of a disk image: sized to its content, filled from the archive in place, grown on first boot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from metallize_os import job
from metallize_os.added import Addition
from metallize_os.convert import Conversion, ConversionError

MIB = 1 << 20
INODE_BYTES, BYTES_PER_INODE = 256, 16384

GROW_UNIT = """\
[Unit]
Description=Grow the {name} filesystem to the end of the disk
Documentation=man:resize2fs(8)
After=systemd-remount-fs.service
ConditionPathIsReadWrite={place}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/metallize/grow-root {place}

[Install]
WantedBy=multi-user.target
"""


def growing(conversion: Conversion, *, name: str = "root", place: str = "/") -> Iterator[Addition]:
    """What grows the last partition, mounted at `place`, to the end of the disk.

    Raises ConversionError where the rootfs lacks a program that it runs.
    """
    _require_growing(conversion)
    unit = f"etc/systemd/system/metallize-grow-{name}.service"
    wanted = f"etc/systemd/system/multi-user.target.wants/metallize-grow-{name}.service"
    yield Addition("usr/lib/metallize/grow-root", Path(__file__).with_name("grow-root").read_bytes(), mode=0o755)
    yield Addition(unit, GROW_UNIT.format(name=name, place=place).encode())
    yield Addition(wanted, symlink=f"/{unit}")


def _require_growing(conversion: Conversion) -> None:
    for program, package in (("sfdisk", "fdisk"), ("resize2fs", "e2fsprogs"), ("findmnt", "util-linux")):
        if not conversion.has(*(f"{folder}/{program}" for folder in ("usr/sbin", "sbin", "usr/bin", "bin"))):
            raise ConversionError(
                f"growing on first boot needs {program}, which the rootfs lacks: install {package} in a "
                "layer, or set output.options.grow: false"
            )


def filesystem_bytes(conversion: Conversion, margin: int) -> int:
    """Bytes for content, metadata, journal and margin, in whole MiB.

    ext4(5): one inode of 256 bytes per 16 KiB (or per file where there are more), a bitmap block each for
    blocks and inodes and a descriptor per 128 MiB group, a journal of 1/32 up to 64 MiB; 2 % for extents and
    folders that need more than a block.
    """
    journal = 64 * MIB
    content = conversion.data_bytes + conversion.entries * 64
    inodes = max(conversion.entries, (content + margin) // BYTES_PER_INODE) * INODE_BYTES
    total = int((content + inodes + journal) * 1.02) + margin + 8 * MIB
    return -(-total // MIB) * MIB


def make_root(task: job.Job, image: Path, archive: Path, *, offset: int, size: int) -> None:
    """mke2fs fills the filesystem of `size` bytes at `offset` of the image from the archive.

    orphan_file and metadata_csum_seed are newer than the kernels and e2fsck of the older distributions. The journal is
    not written over with zeros: in a new file it reads as such, and whoever writes it to a disk writes those too.
    """
    root = task.ids["root"]
    extended = f"hash_seed={root},lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0,nodiscard,offset={offset}"
    job.tool(
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", str(INODE_BYTES), "-m", "1", "-J", "size=64",
        "-O", "^orphan_file,^metadata_csum_seed", "-U", root, "-L", "root", "-E", extended,
        "-d", archive, image, f"{size // 1024}k",
        env={"E2FSPROGS_FAKE_TIME": str(task.epoch)},
    )  # fmt: skip


def set_xattrs(task: job.Job, image: Path, conversion: Conversion, *, offset: int, work: Path) -> None:
    """Extended attributes and ACLs, by debugfs: of those in the archive, mke2fs takes file capabilities only."""
    if not conversion.xattrs:
        return
    commands = []
    for number, (path, name, value) in enumerate(conversion.xattrs):
        if "\n" in path or "\n" in name:
            raise ConversionError(f"{path!r}: a name with a line break cannot carry extended attributes")
        content = work / f"xattr-{number}"
        content.write_bytes(value)
        words = ["ea_set", "-f", str(content), f"/{path}", name]
        commands.append(" ".join('"' + word.replace('"', '""') + '"' for word in words))
    script = work / "xattrs"
    script.write_text("\n".join(commands) + "\n", errors="surrogateescape")
    argv = ["debugfs", "-w", "-f", str(script), f"{image}?offset={offset}"]
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": str(task.epoch)}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, errors="replace", env=env)
    # debugfs ends with status 0 whatever its commands did; it speaks of failures only, after its version.
    told = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if done.returncode != 0 or told:
        job.fail(f"debugfs could not set extended attributes: {' '.join(told)[-1000:]}")
