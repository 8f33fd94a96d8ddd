"""From a profile's `boot`, a machine's overrides and the host to what QEMU is told."""

from __future__ import annotations

import os
from pathlib import Path

from metallize.errors import HostError, UsageError
from metallize.model.boot import Boot, MachineOverrides, Media, parse_reach_target
from metallize.model.machine import Firmware, Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse
from metallize.qemu import sandbox
from metallize.qemu.argv import WRITABLE, GuestPlan
from metallize.qemu.board import read_board_boot
from metallize.qemu.chain import Layer, chain_of, virtual_size
from metallize.qemu.firmware import firmware_for
from metallize.qemu.network import cards_of

SSH_PORT = 22
CPUS = 2
CPUS_VARIABLE = "METALLIZE_CPUS"
"""How many CPUs a guest has whose profile does not say: one each where several emulated guests share few cores."""
_MOST_CPUS = 64
COUNTED_FROM = 12.0
"""From this slowness on a guest has a clock that counts its instructions.

systemd waits 90 s for a device and as long for a service, by the guest's clock, and on a host so slow a healthy system
takes longer: it would be told broken for the host's sake.
"""
_COUNTED_CPUS = 2
"""All CPUs are emulated by one thread then, which more of them would wait for."""
COUNTED_CLOCK = "instructions"
"""What a report says that such a guest's clock goes by."""
COUNTED_NOTE = (
    "this host emulates {slowness:.1f} times slower than a normal one: while the guest works, its clock counts its "
    "instructions (QEMU's -icount), so that its own time-outs do not run out for the host's sake"
)
_DEFAULT_MEDIA = {ImageFormat.ISO: Media.CD, ImageFormat.TAR: Media.NETWORK}

PUBLIC_KEY = "METALLIZE_SSH_PUBLIC_KEY"
"""Stands in a seed for the public half of `ssh.key`, an ephemeral one above all."""


def make_plan(
    *,
    image: Path,
    image_format: ImageFormat,
    machine: Machine,
    boot: Boot,
    overrides: MachineOverrides,
    accelerator: AcceleratorUse,
    clock: str | None = None,
    credentials: tuple[str, ...] = (),
    public_key: str = "",
) -> GuestPlan:
    """Everything decided but the names of this run's own files; the guest's `clock` is as fits the host, if not given.

    Raises HostError when the image or the firmware is missing, UsageError where the image does not go with its media or
    names a file outside its folder, CommandError when the image is not what its suffix says.
    """
    if not image.is_file():
        raise HostError(f"there is no image {image}", hint="build it first: metallize build PROFILE")
    media = overrides.media or _DEFAULT_MEDIA.get(image_format, Media.DISK)
    if (media is Media.NETWORK) is not (image_format is ImageFormat.TAR):
        raise UsageError(
            f"{image} is {image_format}, and cannot be booted from {media}",
            hint="a tar archive of what a server hands out is booted from the network, and nothing else is",
        )
    layers = () if media is Media.NETWORK else chain_of(image, image_format)
    firmware = None
    if machine.firmware is Firmware.UEFI:
        firmware = firmware_for(machine, own_keys=overrides.own_keys)
    board = read_board_boot(image, image_format, machine) if machine.firmware is Firmware.VIDEOCORE else None
    wanted = overrides.disk or boot.disk
    on_card = machine.disk_interface == "sd"
    cpus = machine.cpus or cpus_of(boot, overrides)
    disk_bytes = None
    if media in WRITABLE and (wanted or on_card):
        disk_bytes = _grown(layers, wanted or 0, power_of_two=on_card)
    return GuestPlan(
        machine=machine,
        accelerator=accelerator.name,
        cpu=accelerator.cpu,
        memory_bytes=overrides.memory or boot.memory,
        cpus=cpus,
        counts=_counts(accelerator, cpus, clock),
        media=media,
        image=image.resolve(),
        image_format=image_format,
        layers=layers,
        disk_bytes=disk_bytes,
        firmware=firmware,
        keys=overrides.keys or "",
        board=board,
        forwards=tuple(sorted({SSH_PORT} | {parse_reach_target(target).port for target in boot.reach})),
        credentials=credentials,
        display=boot.display,
        internet=boot.leads_out,
        sandboxed=sandbox.available(machine.qemu),
        tpm=has_tpm(boot, overrides),
        cards=cards_of(overrides.nics or boot.nics or (), machine.nic_device),
        seed_files=tuple((name, text.replace(PUBLIC_KEY, public_key)) for name, text in sorted(boot.seed.items())),
    )


def cpus_of(boot: Boot, overrides: MachineOverrides) -> int:
    """How many CPUs one machine of the profile has. Raises HostError where the setting is no such number."""
    declared = overrides.cpus or boot.cpus
    if declared is not None:
        return declared
    setting = os.environ.get(CPUS_VARIABLE, "").strip()
    if not setting:
        return CPUS
    if not (setting.isascii() and setting.isdigit() and 1 <= int(setting) <= _MOST_CPUS):
        raise HostError(
            f"{CPUS_VARIABLE}={setting}: it is how many CPUs a guest has whose profile does not say",
            hint=f"a whole number from 1 to {_MOST_CPUS}, or leave it out for {CPUS}",
        )
    return int(setting)


def has_tpm(boot: Boot, overrides: MachineOverrides) -> bool:
    """Whether one machine of the profile is to have a TPM."""
    return boot.tpm if overrides.tpm is None else overrides.tpm


def _counts(accelerator: AcceleratorUse, cpus: int, clock: str | None) -> bool:
    wanted = accelerator.slowness >= COUNTED_FROM if clock is None else clock == COUNTED_CLOCK
    return wanted and accelerator.name == "tcg" and cpus <= _COUNTED_CPUS


def _grown(layers: tuple[Layer, ...], wanted_bytes: int, *, power_of_two: bool) -> int:
    """The size to grow to; never smaller than the image, and a whole number of sectors, or what an SD card must be."""
    grown = max(virtual_size(layers), -(-wanted_bytes // 512) * 512)
    return 1 << (grown - 1).bit_length() if power_of_two else grown
