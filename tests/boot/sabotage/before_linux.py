"""Sabotage of what runs before the kernel: the firmware's and the boot loader's part, and the host."""

from __future__ import annotations

from dataclasses import replace

from metallize.machines import ovmf, seabios
from metallize.model.report import Stage
from tests.boot.sabotage.images import SECTOR, Disk
from tests.boot.sabotage.recipe import Failed, Recipe
from tests.boot.sector import boot_sector

CODE_BYTES = 440
"""Of the first sector, before the disk's signature and the partition table."""
BROKEN_MENU = """\
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
menuentry broken }
"""
UNSEEN = replace(seabios.MACHINE, qemu_machine="q35")
"""The firmware shows its messages on a screen that nobody looks at."""


def no_signature(disk: Disk) -> None:
    disk.write_at(0, bytes(CODE_BYTES))
    disk.write_at(510, bytes(2))


def no_bios_loader(disk: Disk) -> None:
    """What is left is a protective MBR, as every UEFI installer writes it."""
    disk.write_at(0, bytes(CODE_BYTES))
    disk.write_at(disk.start("bios"), bytes(1 << 20))


def no_uefi_loader(disk: Disk) -> None:
    disk.write_at(disk.start("esp"), bytes(1 << 20))


def prints_nothing(disk: Disk) -> None:
    disk.write_at(0, boot_sector("")[:CODE_BYTES])


def no_kernel(disk: Disk) -> None:
    disk.remove(*disk.kernel_paths)


def kernel_is_a_page(disk: Disk) -> None:
    """What a download leaves that got an error page."""
    disk.put(f"/boot/vmlinuz-{disk.kernel}", "<html>404 Not Found</html>\n" * 4096)


def no_initrd(disk: Disk) -> None:
    disk.remove(*disk.initrd_paths)


def spoiled_initrd(disk: Disk) -> None:
    path = f"/boot/initrd.img-{disk.kernel}"
    content = bytearray(disk.read(path))
    middle = len(content) // 2
    content[middle : middle + 65_536] = bytes(65_536)
    disk.put(path, bytes(content))


def menu_waits(disk: Disk) -> None:
    disk.replace("/boot/grub/grub.cfg", r"set timeout=-?\d+", "set timeout=-1")


RECIPES = (
    Recipe(
        name="no-boot-loader",
        cheap=True,
        summary="nothing in the first sector",
        disk=no_signature,
        expected=(Failed(stage=Stage.FIRMWARE, rule="bios-no-bootable-device", words=("boot loader for BIOS",)),),
    ),
    Recipe(
        name="uefi-image-on-bios",
        summary="GPT and ESP, and a protective MBR with no code in it",
        disk=no_bios_loader,
        expected=(Failed(stage=Stage.FIRMWARE, rule="bios-nothing-started", words=("boot loader for BIOS",)),),
    ),
    Recipe(
        name="bios-image-on-uefi",
        summary="no EFI system partition",
        disk=no_uefi_loader,
        machine=ovmf.MACHINE,
        expected=(Failed(stage=Stage.FIRMWARE, rule="uefi-shell", words=("EFI system partition",)),),
    ),
    Recipe(
        name="grub-without-its-configuration",
        summary="no grub.cfg",
        disk=lambda disk: disk.remove("/boot/grub/grub.cfg"),
        expected=(Failed(stage=Stage.LOADER, rule="grub-prompt", words=("grub.cfg is missing",)),),
    ),
    Recipe(
        name="grub-without-its-configuration-on-uefi",
        summary="no grub.cfg, and GRUB comes from the ESP",
        disk=lambda disk: disk.remove("/boot/grub/grub.cfg"),
        machine=ovmf.MACHINE,
        expected=(Failed(stage=Stage.LOADER, rule="grub-prompt", words=("grub.cfg is missing",)),),
    ),
    Recipe(
        name="grub-configuration-with-an-error",
        summary="a brace of grub.cfg is the wrong way round",
        disk=lambda disk: disk.put("/boot/grub/grub.cfg", BROKEN_MENU),
        expected=(Failed(stage=Stage.LOADER, rule="grub-prompt", words=("syntax error", "grub.cfg")),),
    ),
    Recipe(
        name="grub-menu-waits",
        summary="a menu with no timeout",
        disk=menu_waits,
        expected=(Failed(stage=Stage.LOADER, rule="grub-menu-waits", words=("waits in its menu", "timeout")),),
    ),
    Recipe(
        name="root-is-no-filesystem",
        summary="the root partition holds garbage",
        disk=lambda disk: disk.spoil(disk.start("root"), 1 << 20),
        expected=(Failed(stage=Stage.LOADER, rule="grub-prompt", words=("file system with it is damaged",)),),
    ),
    Recipe(
        name="missing-kernel",
        cheap=True,
        summary="the menu names a kernel that is not there",
        disk=no_kernel,
        expected=(Failed(stage=Stage.LOADER, rule="grub-gave-up", words=("vmlinuz", "not found")),),
    ),
    Recipe(
        name="kernel-is-no-kernel",
        summary="a page of HTML where the kernel should be",
        disk=kernel_is_a_page,
        expected=(Failed(stage=Stage.LOADER, rule="grub-gave-up", words=("invalid magic",)),),
    ),
    Recipe(
        name="missing-initrd",
        summary="the menu names an initrd that is not there",
        disk=no_initrd,
        expected=(Failed(stage=Stage.INITRD, rule="kernel-no-root", words=("initrd",)),),
    ),
    Recipe(
        name="spoiled-initrd",
        summary="64 KiB of zeros in the middle of the initrd",
        disk=spoiled_initrd,
        expected=(
            Failed(
                stage=Stage.INITRD,
                rule="kernel-no-root|initrd-root-missing|initrd-no-init",
                words=("could not unpack the initrd",),
            ),
        ),
    ),
    Recipe(
        name="guest-that-never-prints",
        summary="not one byte on the serial port",
        disk=prints_nothing,
        machine=UNSEEN,
        expected=(Failed(stage=Stage.QEMU, rule="silent-console", words=("nothing at all", "ttyS0", "console=")),),
    ),
    Recipe(
        name="image-cut-short",
        summary="the last two thirds of the image are missing",
        disk=lambda disk: disk.cut(disk.path.stat().st_size // 3 // SECTOR * SECTOR),
        expected=(
            Failed(stage=Stage.LOADER, rule="grub-prompt", words=("file system with it is damaged", "cut short")),
        ),
    ),
    Recipe(
        name="qemu-killed",
        summary="QEMU is killed while the kernel starts",
        kill_at=Stage.KERNEL,
        expected=(Failed(stage=Stage.KERNEL, rule="qemu-ended", words=("killed by signal 9",)),),
    ),
)
