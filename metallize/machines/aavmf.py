"""A 64-bit ARM machine as clouds have them: QEMU's virt with UEFI firmware, Secure Boot off."""

from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform

MACHINE = Machine(
    name="aavmf",
    summary="arm64 machine (virt) with AAVMF: UEFI boot from disk or USB, Secure Boot off",
    platform=Platform.ARM64,
    qemu="qemu-system-aarch64",
    qemu_machine="virt",
    firmware=Firmware.UEFI,
    firmware_machine="virt-",
    # ARMv8.0, the least that distributions ask for; pointer authentication of newer ones is slow to emulate.
    cpu_emulated="cortex-a57",
    cpus_hardware=("host",),
    console="ttyAMA0",
    disk_device="virtio-blk-pci",
    nic_device="virtio-net-pci",
    tpm_device="tpm-tis-device",
    devices=("virtio-rng-pci", "pvpanic-pci"),
    probe="probe-virt.bin",
    probe_options=("-m", "128M"),
    probe_status=0,
    probe_normal_seconds=0.005,
)
