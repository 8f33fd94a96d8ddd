"""What an operating system has and a container's rootfs has not: own names, and a first boot that asks nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from metallize_os.units import HOST_KEYS_ONCE, HOST_KEYS_UNIT, PRESET

Has = Callable[..., bool]
"""Whether the rootfs has one of these paths."""

SYSTEMD_WITH_IGNORE = 257
"""A systemd whose presets are known to take `ignore`; 252 does not."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A file (`data`), link (`symlink`) or folder that the conversion puts in; a layer's own of that name wins."""

    name: str
    data: bytes | None = None
    symlink: str | None = None
    mode: int | None = None


def own_names(has: Has, hostname: str, given: bytes) -> Iterable[Addition]:
    """machine-id, hostname, hosts and resolv.conf: each machine's own, or a layer's; `given` is its hostname."""
    # `uninitialized` makes a first boot (machine-id(5)); an empty file would not, an absent one may prompt.
    yield Addition("etc/machine-id", b"uninitialized\n", mode=0o444)
    if has("var/lib/dbus"):
        yield Addition("var/lib/dbus/machine-id", symlink="/etc/machine-id")
    name = given.decode("utf-8", "replace").strip() or hostname
    yield Addition("etc/hostname", f"{name}\n".encode())
    hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    yield Addition("etc/hosts", hosts.encode())
    if has("usr/lib/systemd/systemd-resolved", "lib/systemd/systemd-resolved"):
        yield Addition("etc/resolv.conf", symlink="../run/systemd/resolve/stub-resolv.conf")
    else:
        yield Addition("etc/resolv.conf", b"")
    yield Addition("etc/mtab", symlink="../proc/self/mounts")


def first_boot(paths: AbstractSet[str], links: AbstractSet[str]) -> Iterable[Addition]:
    """No prompt for locale, time zone or root's password, and units as the layers left them."""
    # Debian's /etc/default/locale is a link to /etc/locale.conf, which nothing makes.
    if "etc/locale.conf" not in paths and "etc/default/locale" not in paths - links:
        yield Addition("etc/locale.conf", b"LANG=C.UTF-8\n")
        yield Addition("etc/default/locale", b"LANG=C.UTF-8\n")
    yield Addition("etc/systemd/system/systemd-firstboot.service", symlink="/dev/null")
    versions = [int(m[1]) for p in paths if (m := re.search(r"/libsystemd-shared-(\d+)[^/]*\.so$", p))]
    # Not every systemd knows `ignore`; `disable` has the same effect on a first boot, which only enables.
    verb = "ignore" if max(versions, default=0) >= SYSTEMD_WITH_IGNORE else "disable"
    yield Addition("etc/systemd/system-preset/00-metallize.preset", PRESET.format(verb=verb).encode())


def host_keys(has: Has) -> Iterable[Addition]:
    """A unit that makes them on the first boot, where there is an SSH server."""
    if has("usr/sbin/sshd"):
        unit = "etc/systemd/system/metallize-ssh-host-keys.service"
        yield Addition(unit, HOST_KEYS_UNIT.encode())
        for wanting in ("multi-user.target", "ssh.service"):
            yield Addition(f"etc/systemd/system/{wanting}.wants/{unit.rpartition('/')[2]}", symlink=f"/{unit}")
        if has("usr/lib/systemd/system/sshd-keygen.service"):
            once = "etc/systemd/system/sshd-keygen.service.d/metallize.conf"
            yield Addition(once, HOST_KEYS_ONCE.encode())
