"""GRUB for BIOS and for UEFI, put in place without a loop device, a mount or a privilege.

BIOS: our own core image, made by grub-mkimage, with the modules it needs to find its configuration. UEFI:
Debian's signed shim and signed GRUB, so that Secure Boot stays possible.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metallize_os.job import tool

GRUB = Path("/usr/lib/grub")
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Signed:
    """Where Debian's signed loaders of an architecture are, and how UEFI spells its name (UEFI, 3.5.1.1)."""

    suffix: str
    folder: str

    def files(self, grub: str) -> dict[str, bytes]:
        """The files of an ESP's EFI/BOOT, by name. Shim looks for MokManager and GRUB beside itself."""
        shim = Path("/usr/lib/shim")
        return {
            f"BOOT{self.suffix.upper()}.EFI": (shim / f"shim{self.suffix}.efi.signed").read_bytes(),
            f"mm{self.suffix}.efi": (shim / f"mm{self.suffix}.efi.signed").read_bytes(),
            f"grub{self.suffix}.efi": (GRUB / self.folder / f"{grub}{self.suffix}.efi.signed").read_bytes(),
        }


SIGNED = {
    "linux/amd64": Signed(suffix="x64", folder="x86_64-efi-signed"),
    "linux/arm64": Signed(suffix="aa64", folder="arm64-efi-signed"),
}

_COMMON = ["biosdisk", "part_gpt", "part_msdos", "search", "search_fs_uuid", "search_fs_file", "search_label",
           "normal", "configfile", "linux", "echo", "test", "true", "ls", "cat", "minicmd", "sleep", "halt",
           "reboot", "serial", "terminal", "terminfo", "gzio", "zstd"]  # fmt: skip
DISK_MODULES = (*_COMMON, "ext2", "fat")
CD_MODULES = (*_COMMON, "iso9660")


@dataclass(frozen=True, slots=True)
class MenuEntry:
    title: str
    kernel: str
    initrd: str
    condition: str = ""
    """GRUB test expression; the entry is there only where it holds."""


def quote(word: str) -> str:
    """One word for GRUB's shell (GRUB manual, Quoting)."""
    if re.fullmatch(r"[A-Za-z0-9_.,:/=@%+-]+", word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def serial_setup(params: str) -> str:
    """GRUB on the serial port of the kernel's console, where that is a PC's; elsewhere the firmware speaks there."""
    ports = re.findall(r"(?:^|\s)console=tty(S|AMA)(\d)(?:,(\d+))?", params)
    if not ports or ports[-1][0] != "S":
        return ""
    _, number, speed = ports[-1]
    port = f"--unit={number} --speed={speed or 115200}"
    return f"if serial {port}; then\n  terminal_input console serial\n  terminal_output console serial\nfi\n"


def configuration(entries: Sequence[MenuEntry], params: str, *, timeout: int) -> str:
    """grub.cfg: the first entry whose condition holds is booted after `timeout` seconds."""
    words = " ".join(quote(word) for word in params.split())
    lines = ["set default=0", f"set timeout={timeout}", serial_setup(params).rstrip()]
    for entry in entries:
        menu = [
            f"menuentry {quote(entry.title)} {{",
            f"  linux {quote(entry.kernel)} {words}",
            f"  initrd {quote(entry.initrd)}",
            "}",
        ]
        if entry.condition:
            menu = [f"if [ {entry.condition} ]; then", *(f"  {line}" for line in menu), "fi"]
        lines += menu
    return "\n".join(line for line in lines if line) + "\n"


def core_image(target: Path, *, image_format: str, prefix: str, modules: Sequence[str], embedded: str = "") -> None:
    """grub-mkimage for BIOS; `embedded` is a configuration that runs before the one at `prefix`."""
    words: list[str | Path] = ["grub-mkimage", "--directory", GRUB / "i386-pc", "--format", image_format]
    words += ["--output", target, "--prefix", prefix, "--compression", "xz"]
    if embedded:
        early = target.with_suffix(".cfg")
        early.write_text(embedded)
        words += ["--config", early]
    tool(*words, *modules)


def install_bios(image: Path, core: Path, *, at_sector: int, sectors: int) -> None:
    """Put boot.img in the MBR's code area and core.img at the BIOS boot partition.

    Offsets from GRUB's sources: boot.S (kernel_sector at 0x5c, the jump for floppies at 0x66) and diskboot.S
    (the block list in the last 12 bytes of core's first sector; its first start is at 500).
    """
    boot = bytearray((GRUB / "i386-pc" / "boot.img").read_bytes()[:440])
    code = bytearray(core.read_bytes())
    if len(code) > sectors * SECTOR:
        raise ValueError(f"GRUB's core image has {len(code)} bytes; the BIOS boot partition {sectors * SECTOR}")
    boot[0x5C:0x64] = struct.pack("<Q", at_sector)
    boot[0x66:0x68] = b"\x90\x90"
    code[500:508] = struct.pack("<Q", at_sector + 1)
    with image.open("r+b") as disk:
        disk.write(boot)
        disk.seek(at_sector * SECTOR)
        disk.write(code)


def make_esp(
    image: Path,
    *,
    offset: int,
    size: int,
    volume_id: str,
    platform: str,
    grub: str,
    config_path: str,
    config: str,
    epoch: int,
) -> None:
    """A FAT32 ESP inside `image` at `offset` (bytes) with shim, GRUB and GRUB's first configuration.

    `grub` is the signed build: `grub` reads /EFI/debian/grub.cfg, `gcd` reads /boot/grub/grub.cfg. FAT32
    needs 65,525 clusters, else EDK2 takes it for FAT16; one sector a cluster makes that 33 MiB.
    """
    env = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    with image.open("ab") as disk:
        disk.truncate(max(disk.tell(), offset + size))
    tool(
        "mkfs.vfat", "--invariant", "-F", "32", "-s", "1", "-i", volume_id, "-n", "ESP",
        "--offset", str(offset // SECTOR), image, str(size // 1024),
        env=env,
    )  # fmt: skip
    drive = f"{image}@@{offset}"
    folders = {"/EFI", "/EFI/BOOT", *(str(parent) for parent in Path(config_path).parents if str(parent) != "/")}
    tool("mmd", "-i", drive, *(f"::{folder}" for folder in sorted(folders)), env=env)
    files = {f"/EFI/BOOT/{name}": content for name, content in SIGNED[platform].files(grub).items()}
    files[config_path] = config.encode()
    for name, content in files.items():
        tool("mcopy", "-i", drive, "-", f"::{name}", stdin=content, env=env)


def find_root(search: str) -> str:
    """GRUB commands that find the root filesystem (`--fs-uuid ID`, `--file PATH`) and go on with its grub.cfg."""
    return f"search --no-floppy --set=root {search}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
