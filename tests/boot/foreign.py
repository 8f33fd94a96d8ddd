"""Images that others made, by their tools in a Debian 13 of its own: mkosi, live-build, GRUB's rescue CD, memtest86+.

They are kept in the build folder, for as long as nothing that makes them changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.measuring import LIMIT, ROOT, Bench

from metallize.command import run

TOOLS = (*peers.PEER_TOOLS, "grub-rescue-pc", "memtest86+")
SETTINGS = ("Locale=C.UTF-8", "Keymap=us", "Timezone=UTC", "Hostname=peer", "RootShell=/bin/bash")
"""What systemd-firstboot would ask for otherwise, and wait for an answer."""
SECTOR = 512
GPT_ENTRIES = 72
"""Where a GPT's header says where its entries are (UEFI 2.10, table 5.5)."""
MEMTEST_MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry memtest {
  linux /boot/memtest.bin console=ttyS0,115200
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """The folder that the images are kept in, and each of them, built when it is asked for."""

    folder: Path

    @property
    def mkosi(self) -> Path:
        """A disk for UEFI whose initrd runs systemd."""
        return self._kept("mkosi.raw", self._build_mkosi)

    @property
    def rootless(self) -> Path:
        """The same with nothing on its root partition that could be mounted."""
        return self._kept("rootless.raw", lambda made: wipe_root(Path(shutil.copy(self.mkosi, made))))

    @property
    def live(self) -> Path:
        """A live CD whose menu waits for somebody."""
        return self._kept("live.iso", self._build_live)

    @property
    def rescue(self) -> Path:
        """GRUB's rescue CD, whose menu boots nothing that is there."""
        return self._kept("rescue.iso", self._copied("usr/lib/grub-rescue/grub-rescue-cdrom.iso"))

    @property
    def memtest(self) -> Path:
        """A test of the memory on a display alone."""
        return self._kept("memtest.iso", self._copied("usr/lib/memtest86+/memtest86+x64.iso"))

    @property
    def serial_memtest(self) -> Path:
        """The same on the serial port."""
        return self._kept("memtest-serial.iso", self._build_memtest)

    def _kept(self, name: str, build: Callable[[Path], object]) -> Path:
        image = self.folder / name
        if not image.exists():
            unfinished = image.with_name(f"unfinished-{name}")
            build(unfinished)
            unfinished.rename(image)
        return image

    def _debian(self) -> peers.Peers:
        if os.geteuid() != 0:
            raise AssertionError("mkosi and live-build run as root here: run this test as root")
        root = self.folder / "debian"
        if not root.exists():
            unfinished = self.folder / "unfinished-debian"
            shutil.rmtree(unfinished, ignore_errors=True)
            run(
                ["mmdebstrap", "--variant=minbase", f"--include={','.join(TOOLS)}", "trixie", unfinished], timeout=LIMIT
            )
            unfinished.rename(root)
        return peers.Peers(bench=Bench(scratch=self.folder), root=root)

    def _copied(self, path: str) -> Callable[[Path], object]:
        return lambda made: shutil.copy(self._debian().root / path, made)

    def _build_mkosi(self, made: Path) -> None:
        debian = self._debian()
        debian.mkosi(incremental=False)
        settings = debian.root / "mkosi/mkosi.conf"
        words = settings.read_text().replace("[Content]\n", "\n".join(("[Content]", *SETTINGS, "")))
        settings.write_text(words)
        debian.mkosi_build("mkosi")
        shutil.move((debian.root / "mkosi/peer.raw").resolve(), made)

    def _build_live(self, made: Path) -> None:
        debian = self._debian()
        debian.live_build()
        [iso] = (debian.root / "live").glob("*.iso")
        shutil.move(iso, made)
        shutil.rmtree(debian.root / "live")

    def _build_memtest(self, made: Path) -> None:
        debian = self._debian()
        folder = debian.root / "memtest/boot/grub"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(debian.root / "boot/memtest86+x64.bin", folder.with_name("memtest.bin"))
        (folder / "grub.cfg").write_text(MEMTEST_MENU)
        debian.enter("memtest", "grub-mkrescue", "-o", "/memtest.iso", "/memtest")
        shutil.move(debian.root / "memtest.iso", made)


def foreign() -> Foreign:
    """The images of today's recipe; those of another are thrown away."""
    recipe = b"".join(Path(source).read_bytes() for source in (__file__, peers.__file__))
    kept = ROOT / "build" / "tests" / "foreign"
    folder = kept / hashlib.sha256(recipe).hexdigest()[:16]
    for old in kept.glob("*"):
        if old != folder:
            shutil.rmtree(old)
    folder.mkdir(parents=True, exist_ok=True)
    return Foreign(folder=folder)


def wipe_root(disk: Path) -> None:
    """Zeros over the beginning of the root partition of a GPT disk."""
    with disk.open("r+b") as file:
        file.seek(SECTOR + GPT_ENTRIES)
        first, count, size = struct.unpack("<QII", file.read(16))
        for number in range(count):
            file.seek(first * SECTOR + number * size)
            entry = file.read(size)
            if entry[56:].decode("utf-16-le").startswith("root"):
                [begin] = struct.unpack_from("<Q", entry, 32)
                file.seek(begin * SECTOR)
                file.write(bytes(1 << 20))
                return
    raise AssertionError(f"{disk} has no partition that is called root")
