"""The entries of the catalogue as values: layers, generators with their options, what a machine tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from metallize.model.boot import Media
from metallize.model.machine import Firmware
from metallize.model.profile import ImageFormat, Platform

OptionValue = str | int | float | bool


class OptionType(StrEnum):
    """What an option of a generator takes; `size` is bytes, written 512M or 8G."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a generator, as its generator.yaml declares it; a size's bounds and default are bytes."""

    name: str
    type: OptionType
    description: str
    default: OptionValue | None = None
    choices: tuple[OptionValue, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    formats: tuple[ImageFormat, ...] = ()
    """The formats of images for which it means something; every one where empty."""
    needs_tpm: tuple[OptionValue, ...] = ()
    """Values with which the image comes up on a machine with a TPM alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A folder of generators/: what it makes of a rootfs, and what it can be told."""

    name: str
    folder: Path
    summary: str
    description: str
    formats: tuple[ImageFormat, ...]
    default_media: Media
    machines: tuple[str, ...]
    """Machines that verify what it makes where a profile names none."""
    options: Mapping[str, Option]
    example: str = ""
    platforms: tuple[Platform, ...] = (Platform.AMD64,)
    """What it can make an image from."""
    firmware: tuple[Firmware, ...] = tuple(Firmware)
    """What boots its images; empty where they are no bootable disks. A machine fits by its own firmware."""
    versioned: bool = False
    """Whether the image holds its release's name and version, so that a profile must give output.version."""
    signs: bool = False
    """Whether it has a program `sign`, which signs what the firmware starts: a profile may say output.secure_boot."""
    ids: tuple[str, ...] = ()
    """Roles that need an id of their own (disk, root, esp, ...): a UUID derived from the profile's name."""
    kernel_boot_params: str = ""
    """Comes before the profile's own; `{root_uuid}` and `{esp_id}` stand for the ids of these roles."""
    fstab: str = ""
    """Goes into the rootfs before its initrd is made, unless a layer says what / is; same placeholders."""

    def boots_on(self, machine: MachineEntry) -> bool:
        """Whether a machine has the architecture and the firmware for its images."""
        return machine.platform in self.platforms and machine.firmware in self.firmware

    def complete(self, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """The options with the generator's defaults where `given` says nothing, in the declared order."""
        defaults = {name: option.default for name, option in self.options.items()}
        return {name: value for name, value in (defaults | dict(given)).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerArgument:
    """An ARG of a layer: METALLIZE_<NAME>, set in a profile as args.<name>."""

    name: str
    default: str | None
    description: str

    @property
    def key(self) -> str:
        """The name under `args:`."""
        return self.name.removeprefix("METALLIZE_").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One dockerfile that stands on another image, and the folder that is its build context."""

    name: str
    """As a profile's `images` names it: debian-live.dockerfile."""
    path: Path
    context: Path
    summary: str
    supports: tuple[str, ...] = ()
    """Distributions it is made for, like debian:13; empty where the file does not say."""
    arguments: tuple[LayerArgument, ...] = ()


class MachineEntry(Protocol):
    """What the catalogue asks of a `MACHINE` value; metallize.machines says the rest."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def platform(self) -> Platform:
        """The container platform whose images it boots."""
        ...

    @property
    def firmware(self) -> Firmware: ...

    @property
    def secure_boot(self) -> bool:
        """Whether its firmware asks for signatures."""
        ...

    @property
    def suites(self) -> tuple[str, ...]:
        """Suites that it promises to hold."""
        ...
