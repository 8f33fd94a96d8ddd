"""A machine as a value: what QEMU must be told so that a guest finds the hardware that an image expects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metallize.model.profile import Platform


class Firmware(StrEnum):
    """What runs before the boot loader."""

    BIOS = "bios"
    UEFI = "uefi"


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
    console: str
    """The kernel's name of the serial port that is watched, as console= spells it."""
    disk_device: str
    """QEMU's -device for a disk image."""
    nic_device: str
    seed_device: str = "virtio-blk-pci"
    """QEMU's -device for the disk with what cloud-init is told, which is read-only."""
    tpm_device: str = ""
    """QEMU's -device for a TPM; empty where the machine can have none."""
    devices: tuple[str, ...] = ()
    """Further -device arguments that every guest of this machine gets."""
    suites: tuple[str, ...] = ()
    """Suites of boot-tests/ that must hold too, where there is a login to observe them: what the machine promises."""
