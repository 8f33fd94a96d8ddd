"""mkosi and live-build, in a Debian 13 of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import LIMIT, Bench, timed
from metallize.build.base.bases import enclosure
from metallize.command import run

PEER_TOOLS = [
    "mkosi",
    "systemd-repart",
    "systemd-boot",
    "systemd-ukify",
    "dosfstools",
    "mtools",
    "e2fsprogs",
    "kmod",
    "zstd",
    "xz-utils",
    "cpio",
    "fdisk",
    "udev",
    "live-build",
    "debootstrap",
    "squashfs-tools",
    "xorriso",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "isolinux",
    "syslinux",
    "syslinux-common",
    "ca-certificates",
    "debian-archive-keyring",
]
COMMON_PACKAGES = [
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "iproute2",
    "login",
    "less",
    "openssh-server",
    "libpam-systemd",
    "sudo",
    "passwd",
]
"""What the layers of the measured profiles install, beside the kernel."""
DISK_PACKAGES = ["fdisk", "e2fsprogs", "dosfstools"]
LIVE_PACKAGES = ["live-boot", "live-boot-initramfs-tools"]

# Runs a command as the root of its own mount namespace: chroot(2) alone would not let mkosi pivot.
ENTER = """
mount --bind "$1" "$1"; cd "$1"; shift
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs tmpfs tmp; mount -t tmpfs tmpfs run
cat /etc/resolv.conf >.resolv.conf; cp .resolv.conf etc/resolv.conf
mkdir -p .old; pivot_root . .old; cd /; umount -l /.old
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """A Debian 13 in a folder, with mkosi and live-build in it."""

    bench: Bench
    root: Path

    def enter(self, log: str, *argv: str) -> float:
        words: list[str | Path] = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            ENTER,
            "sh",
            self.root,
            *argv,
        ]
        return timed(words, log=self.bench.scratch / f"{log}.log")

    def sources(self) -> list[tuple[str, str, str]]:
        """The package sources this root was made from: address, suite, components."""
        lines = (self.root / "etc/apt/sources.list").read_text().splitlines()
        return [(uri, suite, parts) for _, uri, suite, parts in (line.split(maxsplit=3) for line in lines if line)]

    def mkosi(self, *, incremental: bool) -> None:
        """Lay out mkosi's configuration: the packages of debian13-ext4 in a disk that boots by UEFI."""
        folder = self.root / "mkosi"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.root / "var/cache/mkosi", ignore_errors=True)
        shutil.rmtree(self.root / "root/.cache", ignore_errors=True)
        listed = folder / "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources"
        listed.parent.mkdir(parents=True)
        listed.write_text(
            "\n".join(
                f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {parts}\n"
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
                for uri, suite, parts in self.sources()
            )
        )
        packages = ["linux-image-amd64", "systemd", "systemd-boot", *COMMON_PACKAGES, *DISK_PACKAGES]
        (folder / "mkosi.extra/etc").mkdir(parents=True)
        (folder / "mkosi.extra/etc/bench").write_text("one\n")
        if incremental:
            (folder / "mkosi.cache").mkdir()
        (folder / "mkosi.conf").write_text(
            "[Distribution]\nDistribution=debian\nRelease=trixie\n"
            "[Output]\nFormat=disk\nOutput=peer\n"
            f"[Build]\nIncremental={'yes' if incremental else 'no'}\n"
            "[Content]\nBootable=yes\nRootPassword=admin\nKernelCommandLine=console=tty0 console=ttyS0,115200\n"
            "Packages=\n" + "".join(f"  {name}\n" for name in packages)
        )

    def mkosi_build(self, log: str) -> float:
        return self.enter(log, "sh", "-c", "cd /mkosi && mkosi --force build")

    def live_build(self) -> tuple[float, int]:
        """Build the packages of debian13-livecd as a live ISO; returns seconds and bytes."""
        folder = self.root / "live"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        [security] = [uri for uri, suite, _ in self.sources() if suite.endswith("-security")]
        mirrors = " ".join(
            f"--{stage}-security {security}"
            for stage in ("mirror-chroot", "mirror-binary", "parent-mirror-chroot", "parent-mirror-binary")
        )
        (folder / "build").write_text(
            "set -eu\ncd /live\n"
            "lb config --distribution trixie --architecture amd64 --archive-areas main --system live "
            "--binary-image iso-hybrid --debootstrap-options --variant=minbase --initsystem systemd "
            "--linux-packages linux-image --linux-flavours amd64 --apt-recommends false --apt-indices false "
            "--memtest none --debian-installer none --firmware-chroot false --updates false --cache false "
            "--zsync false --source false --checksums none "
            f"--bootappend-live 'boot=live console=tty0 console=ttyS0,115200' {mirrors}\n"
            f"echo {' '.join(COMMON_PACKAGES + LIVE_PACKAGES)} >config/package-lists/bench.list.chroot\n"
            "lb build\n"
        )
        seconds = self.enter("live-build", "sh", "/live/build")
        [iso] = folder.glob("*.iso")
        return seconds, iso.stat().st_size


@contextmanager
def peers(bench: Bench) -> Iterator[Peers]:
    if os.geteuid() != 0:
        raise SystemExit("error: mkosi and live-build run as root here\n  next: run as root, or name --only unchanged")
    root = bench.scratch / "peers"
    if not root.exists():
        bench.note("Making a Debian 13 with mkosi and live-build")
        words = ("mmdebstrap", "--variant=minbase", f"--include={','.join(PEER_TOOLS)}", "trixie")
        run([*enclosure(), *words, root], timeout=LIMIT)  # so that an interrupt leaves none of its mounts
    yield Peers(bench=bench, root=root)
