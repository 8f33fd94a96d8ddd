"""What of a container's rootfs has no place in an operating system: each a row, with the reason beside it."""

from __future__ import annotations

import re

from metallize_os import traces

DROPPED: tuple[tuple[str, str], ...] = (
    (r"\.dockerenv", "says 'container' to software that looks for it (systemd-detect-virt, installers)"),
    (r"\.dockerinit", "the same, from old engines"),
    (r"usr/sbin/policy-rc\.d", "stops packages from starting their services; right in a container only"),
    (r"etc/apt/apt\.conf\.d/docker-[^/]+", "docker's apt settings: no package cache, no compressed lists kept"),
    (r"etc/dpkg/dpkg\.cfg\.d/docker[^/]*", "docker's dpkg settings: unsafe writes, no documentation"),
    (r"etc/ssh/ssh_host_[^/]+_key(\.pub)?", "a host key in an image is everyone's key; made on first boot instead"),
    (r"var/lib/(systemd|urandom)/random-seed", "a seed that every copy shares is no seed"),
    (r"(boot/|efi/|boot/efi/)loader/random-seed", "the same, for systemd-boot (bootctl install)"),
    (r"var/lib/systemd/credential\.secret", "a secret that every copy shares is no secret"),
    (r"var/lib/dbus/machine-id", "must follow /etc/machine-id"),
    (r"var/lib/NetworkManager/secret_key", "stable addresses and DHCP ids follow from it; made on first start"),
    (r"(var/lib/dhcpcd/|etc/dhcpcd\.)(duid|secret)", "DHCP tells machines apart by it; made on first start"),
    (r"var/cache/apt/[^/]*\.bin", "apt's index of package lists that are not in the image"),
    (r"var/cache/apt/archives/[^/]*\.deb", "packages that are installed already"),
)
EMPTIED = ("dev", "proc", "sys", "run", "tmp")
"""Folders that the running system mounts over; what a build left in them is dropped."""

_DROPPED = re.compile("|".join(f"(?:{pattern})" for pattern, _ in (*DROPPED, *traces.CACHES)))
_EMPTIED = re.compile(rf"(?:{'|'.join(EMPTIED)})/.")


def drops(name: str) -> bool:
    """Whether this path is left out."""
    return bool(_DROPPED.fullmatch(name) or _EMPTIED.match(name))
