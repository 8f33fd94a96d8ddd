"""`metallize flash` as a person runs it: onto a file, onto a loop device, and never onto the disk that holds /."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.generator import sha256_of
from metallize.command import run
from metallize.deadline import Deadline
from metallize.flash import disks
from tests.conftest import Cli

pytestmark = pytest.mark.slow

MIB = 1 << 20
LOOPS = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="loop devices are root's, and the host's kernel has to offer them",
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A sparse disk with data at its start, in its middle and at its end."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        for start, content in ((0, b"boot" * 128), (9 * MIB + 3, os.urandom(2 * MIB)), (24 * MIB - 512, b"end" * 170)):
            file.seek(start)
            file.write(content)
    return path


@contextlib.contextmanager
def loop_over(backing: Path) -> Iterator[Path]:
    """A loop device over that file, gone at the end: it lives on while anybody, udev for one, has it open."""
    device = Path(run(["losetup", "--find", "--show", backing]).stdout.strip())
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])
        limit = Deadline.after(30, "the loop device's end")
        while str(backing) in [line.strip() for line in run(["losetup", "-nO", "BACK-FILE"]).stdout.splitlines()]:
            assert not limit.expired, f"{device} still stands for {backing}"
            time.sleep(0.05)  # the kernel tells nobody when it lets go of one


def test_a_file_gets_the_same_bytes(cli: Cli, image: Path) -> None:
    target = image.with_name("card.img")
    done = cli("flash", image, target)
    assert done.status == 0, done.stderr
    assert sha256_of(target) == sha256_of(image)
    assert "has not been verified" in done.stderr
    assert done.stdout == f"{target} holds {image}\n"


def test_a_container_format_is_unpacked(cli: Cli, image: Path) -> None:
    packed, target = image.with_name("disk.qcow2"), image.with_name("card.img")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, packed])
    done = cli("flash", packed, target, "--json")
    assert done.status == 0, done.stderr
    assert sha256_of(target) == sha256_of(image)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["event"], result["sha256"], result["size"]) == ("result", sha256_of(image), 24 * MIB)
    assert sorted(path.name for path in image.parent.iterdir()) == ["card.img", "disk.img", "disk.qcow2"]


def test_the_disk_that_holds_the_root_is_refused(cli: Cli, image: Path) -> None:
    """Whatever options are given; on a host whose root is on no disk of its own, whatever is mounted from a disk."""
    used = [disk for disk in disks() if any(use.system for use in disk.uses)] or [d for d in disks() if d.uses]
    for disk in used:
        done = cli("flash", image, disk.path, "--yes", "--any-disk")
        assert done.status == 2
        assert re.search(r"holds the running system|is in use", done.stderr)
    assert used or not any(Path("/sys/block").glob("[shv]d*")), "this host's own disk was not found"


@LOOPS
def test_a_device_gets_the_same_bytes_whatever_it_held(cli: Cli, image: Path, tmp_path: Path) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xaa" * (32 * MIB))
    with loop_over(backing) as device:
        asked = cli("flash", image, device)
        assert asked.status == 2
        assert "everything on" in asked.stderr
        assert "--yes" in asked.stderr
        done = cli("flash", image, device, "--yes")
        assert done.status == 0, done.stderr
    content = backing.read_bytes()
    assert content[: 24 * MIB] == image.read_bytes()
    assert content[24 * MIB :] == b"\xaa" * (8 * MIB)


def test_a_file_of_somebody_elses_is_asked_about(cli: Cli, image: Path) -> None:
    target = image.with_name("thesis, final.img")
    target.write_bytes(b"three years of work")
    asked = cli("flash", image, target)
    assert asked.status == 2
    assert f"everything on {target} would be lost" in asked.stderr
    assert "--yes" in asked.stderr
    assert target.read_bytes() == b"three years of work"
    for options in (("--yes",), ()):  # what flash has written, it may write again
        done = cli("flash", image, target, *options)
        assert done.status == 0, done.stderr
        assert sha256_of(target) == sha256_of(image)


LYING = """
import os, sys
from pathlib import Path
from metallize.errors import HostError
from metallize.events import StepStarted
from metallize.flash import flash
from metallize.flash import readback, write  # all that is imported, while its files may be read

class Lie:
    def emit(self, event):
        if isinstance(event, StepStarted) and event.step == "read back":
            with open(sys.argv[3], "r+b") as backing:
                backing.seek(9 << 20)
                backing.write(b"worn")

image, device = Path(sys.argv[1]), Path(sys.argv[2])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    flash(image, device, Lie())
except HostError as exc:
    print(exc.message)
"""


@LOOPS
def test_a_medium_that_holds_something_else_is_found_out_without_root(image: Path, tmp_path: Path) -> None:
    """By one who may write to the disk and no more: the kernel drops its cache of a disk for root alone."""
    backing = tmp_path / "backing"
    with backing.open("wb") as file:
        file.truncate(32 * MIB)
    backing.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp"):  # noqa: S108 - pytest's own folders
            folder.chmod(folder.stat().st_mode | 0o711)
    image.chmod(0o644)
    with loop_over(backing) as loop:
        device = tmp_path / "disk"  # the same one, for everybody
        os.mknod(device, stat.S_IFBLK, loop.stat().st_rdev)
        device.chmod(0o666)
        done = run([sys.executable, "-c", LYING, image, device, backing])
    assert f"{device} does not hold what was written to it: it differs in the block at byte {9 * MIB}" in done.stdout


@LOOPS
def test_a_mounted_device_a_small_one_and_a_busy_one(cli: Cli, image: Path, tmp_path: Path) -> None:
    backing = tmp_path / "backing"
    with backing.open("wb") as file:
        file.truncate(8 * MIB)
    run(["mke2fs", "-q", "-F", backing])
    before = sha256_of(backing)
    with loop_over(backing) as device:
        small = cli("flash", image, device, "--yes")
        assert small.status == 2
        assert f"has {8 * MIB} bytes, and the image {24 * MIB}" in small.stderr
        place = tmp_path / "mnt"
        place.mkdir()
        run(["mount", "-o", "ro", device, place])
        try:
            mounted = cli("flash", image, device, "--yes")
        finally:
            run(["umount", place])
        assert mounted.status == 2
        assert f"is in use: {device} is mounted on {place}" in mounted.stderr
    assert sha256_of(backing) == before


@pytest.mark.parametrize("options", [(), ("--any-disk",)], ids=["removable", "any"])
def test_what_could_be_written_to_is_listed(cli: Cli, image: Path, options: tuple[str, ...]) -> None:
    """And so it is for one who names the image alone, and then has to say where."""
    free = [disk for disk in disks() if not disk.uses and not disk.read_only]
    meant = {str(disk.path) for disk in free if disk.removable or options}
    done = cli("flash", "--json", *options)
    assert done.status == 0
    assert {json.loads(line)["device"] for line in done.stdout.splitlines()} == meant
    assert ("--any-disk lists" in done.stderr) == (len(meant) < len(free))
    asked = cli("flash", image, *options)
    assert asked.status == 2
    assert f"where to write {image}?" in asked.stderr
    assert {line.split()[0] for line in asked.stdout.splitlines()} == meant


@LOOPS
def test_a_loop_device_is_listed_while_nothing_uses_it(cli: Cli, tmp_path: Path) -> None:
    backing = tmp_path / "backing"
    with backing.open("wb") as file:
        file.truncate(8 * MIB)
    with loop_over(backing) as device:
        assert f"{device}  0.0 GB  loop device over {backing}\n" in cli("flash").stdout
    assert str(backing) not in cli("flash").stdout
