"""A full disk is the host's, and nothing that is wrong with the image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.errors import CommandError, HostError
from metallize.machines import seabios
from metallize.model.boot import Media
from metallize.model.profile import ImageFormat
from metallize.qemu.argv import GuestPlan
from metallize.qemu.board import BoardBoot, copy_out
from metallize.qemu.vm import prepared_files

from .test_board import MIB, make_card

PLAN = GuestPlan(
    machine=seabios.MACHINE,
    accelerator="tcg",
    cpu="qemu64",
    memory_bytes=1 << 28,
    cpus=1,
    media=Media.DISK,
    image=Path("/disk.img"),
    image_format=ImageFormat.RAW,
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a filesystem of its own on which nothing is left."""
    if os.geteuid() != 0:
        pytest.skip("mounting is root's")
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "metallize-test", folder], check=True)
    try:
        (folder / "all").write_bytes(bytes(60 << 10))
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_said_to_be_one(image: Path, full_disk: Path) -> None:
    with pytest.raises(HostError) as caught, prepared_files(replace(PLAN, image=image), full_disk):
        pass
    assert caught.value.message.startswith(f"there is no room in {full_disk} for what the guest writes: ")
    assert "No space left on device" in caught.value.message
    assert (caught.value.hint or "").startswith("make room")


def test_so_it_is_when_the_state_of_a_live_system_has_no_room(image: Path, full_disk: Path) -> None:
    plan = replace(PLAN, image=image, media=Media.CD, snapshots=True)
    with pytest.raises(HostError, match="no room in"), prepared_files(plan, full_disk):
        pass


def test_and_when_a_boards_kernel_has_none(tmp_path: Path, full_disk: Path) -> None:
    card = make_card(tmp_path, {"vmlinuz": "K" * (200 << 10)})
    boot = BoardBoot(
        partition=f"{card}@@{MIB}", kernel="vmlinuz", initrd="initrd", device_tree="pi.dtb", command_line="quiet"
    )
    number = os.open(full_disk, os.O_TMPFILE | os.O_RDWR)
    try:
        with pytest.raises(HostError, match="no room for a copy of vmlinuz"):
            copy_out(boot, "vmlinuz", number)
        (full_disk / "all").unlink()
        os.ftruncate(number, 0)
        os.lseek(number, 0, os.SEEK_SET)
        with pytest.raises(CommandError, match="ended with status"):
            copy_out(boot, "none", number)
    finally:
        os.close(number)


def test_an_image_that_is_none_is_still_told_as_that(image: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, image=image, image_format=ImageFormat.VMDK)
    with pytest.raises(CommandError) as caught, prepared_files(plan, tmp_path):
        pass
    assert not caught.value.full
    assert caught.value.hint == "is the image what its suffix says?"
