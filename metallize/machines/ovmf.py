"""A PC of today's chipset with UEFI firmware, Secure Boot off."""

from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform

MACHINE = Machine(
    name="ovmf",
    summary="x86-64 PC (q35) with OVMF: UEFI boot from disk, CD or USB, Secure Boot off",
    platform=Platform.AMD64,
    qemu="qemu-system-x86_64",
    qemu_machine="q35,graphics=off",
    firmware=Firmware.UEFI,
    firmware_machine="pc-q35-",
    # As for seabios: x86-64-v2, because TCG translates the wider instructions slowly.
    cpu_emulated="qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2",
    cpus_hardware=("host", "qemu64"),
    console="ttyS0",
    disk_device="virtio-blk-pci",
    nic_device="virtio-net-pci",
    tpm_device="tpm-crb",
    devices=("virtio-rng-pci", "pvpanic-pci"),
)
