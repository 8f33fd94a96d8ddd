"""A PC of today's chipset that boots the old way."""

from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform

MACHINE = Machine(
    name="seabios",
    summary="x86-64 PC (q35) with SeaBIOS: legacy boot from disk, CD or USB",
    platform=Platform.AMD64,
    qemu="qemu-system-x86_64",
    # graphics=off makes SeaBIOS, and what prints through it, speak on the serial port.
    qemu_machine="q35,graphics=off",
    firmware=Firmware.BIOS,
    # Instructions that QEMU must translate cost more the wider they are: x86-64-v2 is the least that today's
    # distributions ask for, and a kernel that finds no more boots fastest under TCG.
    cpu_emulated="qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2",
    cpus_hardware=("host", "qemu64"),
    console="ttyS0",
    disk_device="virtio-blk-pci",
    nic_device="virtio-net-pci",
    tpm_device="tpm-crb",
    devices=("virtio-rng-pci", "pvpanic-pci"),
)
