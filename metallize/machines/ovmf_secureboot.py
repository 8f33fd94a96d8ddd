"""A PC of today's chipset that starts nothing but what Microsoft's or Debian's key has signed."""

from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform

MACHINE = Machine(
    name="ovmf-secureboot",
    summary="x86-64 PC (q35) with OVMF and Microsoft's keys: UEFI boot with Secure Boot enforced",
    platform=Platform.AMD64,
    qemu="qemu-system-x86_64",
    # SMM guards the variables in which the keys are: without it the guest's kernel could change them.
    qemu_machine="q35,graphics=off,smm=on",
    # OvmfPkg/README, "SMM support": flash that only SMM writes, and no S3, whose boot script is not guarded.
    properties=("driver=cfi.pflash01,property=secure,value=on", "ICH9-LPC.disable_s3=1"),
    firmware=Firmware.UEFI,
    firmware_machine="pc-q35-",
    secure_boot=True,
    # As for seabios: x86-64-v2, because TCG translates the wider instructions slowly.
    cpu_emulated="qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2",
    cpus_hardware=("host", "qemu64"),
    console="ttyS0",
    disk_device="virtio-blk-pci",
    nic_device="virtio-net-pci",
    tpm_device="tpm-crb",
    devices=("virtio-rng-pci", "pvpanic-pci"),
    suites=("secure-boot",),
)
