"""A machine as a value: what QEMU must be told so that a guest finds the hardware that an image expects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metallize.model.profile import Platform


class Firmware(StrEnum):
    """What runs before the boot loader."""

    BIOS = "bios"
    UEFI = "uefi"
    VIDEOCORE = "videocore"
    """A Raspberry Pi's, which QEMU does not emulate: what it would load is loaded in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One file of machines/, ending in `MACHINE = Machine(...)`; its name is its file's name."""

    name: str
    summary: str
    platform: Platform
    qemu: str
    """The emulator's program: qemu-system-x86_64, ..."""
    qemu_machine: str
    """QEMU's -machine type, with its properties."""
    properties: tuple[str, ...] = ()
    """QEMU's -global: properties of devices that the machine brings itself."""
    firmware: Firmware
    firmware_machine: str = ""
    """A machine type to look for among the targets of QEMU's firmware descriptors."""
    secure_boot: bool = False
    """The firmware comes with Secure Boot on and keys enrolled."""
    cpu_emulated: str
    """QEMU's -cpu under TCG."""
    cpus_hardware: tuple[str, ...]
    """QEMU's -cpu under a hardware accelerator: the first with which the host runs a guest is taken."""
    cpus: int | None = None
    """How many CPUs a board has that has no choice."""
    memory_bytes: int | None = None
    """The memory of such a board."""
    console: str
    """The kernel's name of the serial port that is watched, as console= spells it."""
    serial_ports: tuple[str, ...] = ()
    """The kernel's names of all serial ports in QEMU's order, where there is more than the console."""
    disk_device: str
    """QEMU's -device for a disk image."""
    disk_interface: str = ""
    """QEMU's -drive if= instead, for a board whose disk has its fixed place (sd)."""
    nic_device: str
    seed_device: str = "virtio-blk-pci"
    """QEMU's -device for the disk with what cloud-init is told, which is read-only."""
    tpm_device: str = ""
    """QEMU's -device for a TPM; empty where the machine can have none."""
    smbios: bool = True
    """Whether the firmware hands on SMBIOS strings; else systemd's credentials go on the kernel's command line."""
    resets: bool = True
    """Whether a guest that reboots comes back: a board's reset may not be emulated."""
    board: str = ""
    """Which board's sections of config.txt hold, for the firmware videocore."""
    probe: str = "probe.bin"
    """The guest that tells whether and how fast the host runs this machine (metallize/host/probe.S)."""
    probe_options: tuple[str, ...] = ("-m", "64M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4")
    probe_status: int = 33
    """QEMU's status where it comes to its end: isa-debug-exit's is (value << 1) | 1, and it writes 0x10."""
    probe_normal_seconds: float = 0.015
    """What its loop takes on a host of normal speed.

    A boot is not all computing, so this scales a boot's time and not the loop's: where the x86 loop takes 0.055 s (TCG
    on a server's core of 2022), a Debian live system boots in about 3.6 times what KVM needs for it.
    """
    devices: tuple[str, ...] = ()
    """Further -device arguments that every guest of this machine gets."""
    suites: tuple[str, ...] = ()
    """Suites of boot-tests/ that must hold too, where there is a login to observe them: what the machine promises."""
