"""What a person is asked for, or says by options, before a folder is begun."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What is made; each has a generator and a suffix."""

    DISK = "disk"
    VM = "vm"
    LIVECD = "livecd"


class Ci(StrEnum):
    """Whose pipeline builds and verifies it."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


KINDS = {
    Kind.DISK: ("ext4", "img", "a disk that keeps what is written and grows on its first boot"),
    Kind.VM: ("ext4", "qcow2", "a compressed qcow2 for a virtual machine, whose disk grows on its first boot"),
    Kind.LIVECD: ("livecd", "iso", "a read-only CD or USB stick"),
}
"""The generator, the suffix, and what it is in words."""

_OS_LAYERS = {
    ("ext4", "debian"): ("debian-disk.dockerfile", "networkd-dhcp.dockerfile"),
    ("ext4", "ubuntu"): ("ubuntu-disk.dockerfile", "ubuntu-netplan.dockerfile"),
    ("livecd", "debian"): ("debian-live.dockerfile", "networkd-dhcp.dockerfile"),
    ("livecd", "ubuntu"): ("ubuntu-livecd.dockerfile", "ubuntu-netplan.dockerfile"),
}
_SHARED_LAYERS = ("ssh-server.dockerfile", "admin-user.dockerfile")


def os_layers(kind: Kind, family: str) -> tuple[str, ...]:
    """The shipped layers that make an operating system of a base."""
    return (*_OS_LAYERS[KINDS[kind][0], family], *_SHARED_LAYERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Everything that decides what is written."""

    folder: Path
    name: str
    """Of profile, layer, image and service: lower case letters, digits and hyphens."""
    kind: Kind
    base: str | None
    """An image reference; None for what the dockerfile stands on, or else the default."""
    dockerfile: Path | None
    context: Path | None
    ci: Ci
    watchdog: bool


def name_of(folder: Path) -> str:
    """A folder's name as that of an image and a service."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:60].strip("-") or "image"
