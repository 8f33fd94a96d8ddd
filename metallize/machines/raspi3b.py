"""A Raspberry Pi 3 Model B, which QEMU emulates from its kernel on."""

from metallize.model.machine import Firmware, Machine
from metallize.model.profile import Platform

MACHINE = Machine(
    name="raspi3b",
    summary="Raspberry Pi 3 Model B: boots the card's own kernel, initrd and device tree as config.txt names them",
    platform=Platform.ARM64,
    qemu="qemu-system-aarch64",
    qemu_machine="raspi3b",
    firmware=Firmware.VIDEOCORE,
    board="pi3",
    cpu_emulated="cortex-a53",
    cpus_hardware=(),
    cpus=4,
    memory_bytes=1 << 30,
    # On the pins of a real board is the mini UART, ttyS1: the other one talks to Bluetooth.
    console="ttyS1",
    serial_ports=("ttyAMA0", "ttyS1"),
    disk_device="",
    disk_interface="sd",
    nic_device="usb-net",
    smbios=False,
    resets=False,
    probe="probe-aarch64.bin",
    probe_options=("-m", "1G", "-smp", "4", "-semihosting-config", "enable=on,target=native"),
    probe_normal_seconds=0.044,
)
