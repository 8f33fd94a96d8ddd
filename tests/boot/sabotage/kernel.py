"""Sabotage of the kernel, of the initrd and of the root filesystem."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk, LiveCd
from tests.boot.sabotage.recipe import Failed, Recipe

NULL_POINTER = bytes.fromhex("31 c0 8b 00")
"""xor eax, eax; mov eax, [rax]"""
WRONG_ID = "00000000-1111-2222-3333-444444444444"
SQUASHFS = "/live/filesystem.squashfs"


def no_disk_driver(disk: Disk) -> None:
    """The driver's file in the initrd is empty; to wait long for what cannot come would only take time."""
    disk.add_to_initrd({disk.module("virtio_blk").lstrip("/"): b""})
    disk.parameters("rootdelay=3")


def oops(disk: Disk) -> None:
    disk.break_module("dummy", NULL_POINTER)
    disk.early_service("oops", "Type=oneshot\nExecStart=/usr/sbin/modprobe dummy")


def no_init(disk: Disk) -> None:
    disk.remove("/usr/sbin/init")


def init_does_not_start(disk: Disk) -> None:
    disk.put("/usr/sbin/init", "#!/no/such/interpreter\n", mode=0o755)


def foreign_init(disk: Disk) -> None:
    """What is there of an ELF file (elf(5)) says that it is for AArch64."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + bytes.fromhex("0200 b700 01000000")
    disk.put("/usr/sbin/init", header.ljust(4096, b"\0"), mode=0o755)


def spoiled_superblock(cd: LiveCd) -> None:
    at, _ = cd.extent(SQUASHFS)
    cd.spoil(at, 4096)


def spoiled_squashfs(cd: LiveCd) -> None:
    """Half of its data; its tables at the end are whole, so that it is mounted."""
    at, size = cd.extent(SQUASHFS)
    cd.spoil(at + size // 20, size // 2)


def no_squashfs(cd: LiveCd) -> None:
    """The file is there under another name: the folder's record is all that changes."""
    at, _ = cd.extent("/live")
    folder = cd.read_at(at, 2048)
    for name in (b"FILESYSTEM.SQUASHFS", b"filesystem.squashfs"):
        folder = folder.replace(name, name[:-3] + b"old" if name.islower() else name[:-3] + b"OLD")
    cd.write_at(at, folder)


RECIPES = (
    Recipe(
        name="wrong-root",
        cheap=True,
        summary="root= names a filesystem that is not there",
        disk=lambda disk: disk.parameters(f"root=UUID={WRONG_ID} rootdelay=3", without=r"root=\S+"),
        expected=(Failed(stage=Stage.INITRD, rule="initrd-root-missing", words=("root=",)),),
    ),
    Recipe(
        name="initrd-without-the-disk-driver",
        summary="the initrd's virtio_blk cannot be loaded",
        disk=no_disk_driver,
        expected=(Failed(stage=Stage.INITRD, rule="initrd-root-missing", words=("driver",)),),
    ),
    Recipe(
        name="root-on-lvm-without-lvm",
        summary="root= names a logical volume, and neither it nor lvm2 is there",
        disk=lambda disk: disk.parameters("root=/dev/mapper/vg0-root rootdelay=3", without=r"root=\S+"),
        expected=(Failed(stage=Stage.INITRD, rule="initrd-root-missing", words=("/dev/mapper/vg0-root", "lvm2")),),
    ),
    Recipe(
        name="root-of-another-filesystem",
        summary="rootfstype= names a filesystem that the kernel has no module for",
        disk=lambda disk: disk.parameters("rootfstype=reiserfs"),
        expected=(Failed(stage=Stage.INITRD, rule="initrd-root-unmountable", words=("module", "rootfstype=")),),
    ),
    Recipe(
        name="no-init",
        summary="/sbin/init is missing",
        disk=no_init,
        expected=(Failed(stage=Stage.INITRD, rule="initrd-no-init", words=("init",)),),
    ),
    Recipe(
        name="init-does-not-start",
        summary="/sbin/init cannot be run",
        disk=init_does_not_start,
        expected=(Failed(stage=Stage.INITRD, rule="initrd-no-init", words=("init",)),),
    ),
    Recipe(
        name="init-of-another-architecture",
        summary="/sbin/init is a program for AArch64",
        disk=foreign_init,
        expected=(
            Failed(stage=Stage.INITRD, rule="initrd-no-init", words=("Exec format error", "another architecture")),
        ),
    ),
    Recipe(
        name="no-libc",
        summary="the C library is missing",
        disk=lambda disk: disk.remove("/usr/lib/x86_64-linux-gnu/libc.so.6"),
        expected=(Failed(stage=Stage.INITRD, rule="init-lacks-a-library", words=("libc.so.6",)),),
    ),
    Recipe(
        name="kernel-panic",
        cheap=True,
        summary="the kernel panics while services start",
        disk=lambda disk: disk.early_service(
            "panic", "Type=oneshot\nExecStart=/bin/sh -c 'echo c >/proc/sysrq-trigger'"
        ),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-panic", words=("sysrq triggered crash",)),),
    ),
    Recipe(
        name="panic-and-reboot-loop",
        summary="the kernel panics and resets at once",
        disk=lambda disk: disk.parameters("init=/bin/true panic=-1"),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-panic", words=("Attempted to kill init",)),),
    ),
    Recipe(
        name="oops",
        summary="a module reads address 0 when it is loaded; the boot would go on",
        disk=oops,
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-oops", words=("NULL pointer dereference",)),),
    ),
    Recipe(
        name="corrupt-ext4",
        summary="an inode of the root filesystem fails its checksum",
        disk=lambda disk: disk.spoil_inode("/etc/fstab"),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-filesystem", words=("damaged", "EXT4-fs error")),),
    ),
    Recipe(
        name="corrupt-squashfs",
        summary="half of the squashfs is garbage",
        cd=spoiled_squashfs,
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-filesystem", words=("damaged", "SQUASHFS error")),),
    ),
    Recipe(
        name="squashfs-without-a-superblock",
        summary="the squashfs is none",
        cd=spoiled_superblock,
        expected=(Failed(stage=Stage.INITRD, rule="initrd-live-mount", words=("filesystem.squashfs", "damaged")),),
    ),
    Recipe(
        name="no-squashfs",
        summary="the live medium has no squashfs",
        cd=no_squashfs,
        expected=(Failed(stage=Stage.INITRD, rule="initrd-no-live-medium", words=("filesystem.squashfs is missing",)),),
    ),
    Recipe(
        name="hung-task",
        summary="the root filesystem is frozen, and a process hangs in it",
        disk=lambda disk: disk.service(
            "hang",
            "Type=oneshot\nExecStart=/bin/sh -c 'echo 5 >/proc/sys/kernel/hung_task_timeout_secs; "
            "fsfreeze --freeze /; echo x >/hung'",
        ),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-hung-task", words=("stuck in the kernel",)),),
    ),
    Recipe(
        name="oom-kill",
        summary="a service takes all memory",
        disk=lambda disk: disk.early_service("hungry", "ExecStart=/usr/bin/tail /dev/zero"),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-oom", words=("memory",)),),
    ),
)
