"""What a board whose firmware QEMU does not emulate would load, taken from its card as that firmware finds it.

So the kernel, initrd, device tree and command line that are booted are those that are published: config.txt on the
card's own FAT partition says which. mtools(1) reads the partition in place; nothing is mounted.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metallize.command import spawn
from metallize.errors import MAKE_ROOM, CommandError, HostError, UsageError
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.qemu.descriptors import memory_file
from metallize.qemu.videocore import BOARDS, COMMAND_LINE_SIZE, ConfigError, boot_files

FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})
_SECTOR = 512
_TEXT_BYTES = 64 << 10
"""As much as config.txt, what it includes and cmdline.txt may have; on a real card they have a hundredth of it."""
_MOST_CPU_SECONDS = 120
"""For one file. A FAT whose clusters go round in a circle has no end."""
_HINT = "the card is one that generator rpi makes, or has a FAT partition with config.txt first, as every Pi needs"
NOTE = (
    "the VideoCore's firmware stage was not run, because QEMU does not emulate it: kernel, initrd, device tree and "
    "command line were loaded from the card as its config.txt says"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardBoot:
    """Files on a card's firmware partition, and the command line that cmdline.txt holds."""

    partition: str
    """The partition as mtools' -i takes it: IMAGE@@OFFSET."""
    kernel: str
    initrd: str
    """Empty where config.txt names none."""
    device_tree: str
    command_line: str

    @property
    def files(self) -> tuple[str, ...]:
        """What QEMU is given, in the order of `OPTIONS`."""
        return tuple(name for name in (self.kernel, self.device_tree, self.initrd) if name)


OPTIONS = ("-kernel", "-dtb", "-initrd")


def read_board_boot(image: Path, image_format: ImageFormat, machine: Machine) -> BoardBoot:
    """What this board would load from this card. Raises HostError where it would find nothing to boot.

    Raises UsageError where the card's texts are none that a board would follow to an end.
    """
    if image_format is not ImageFormat.RAW:
        raise HostError(
            f"{image}: {machine.name} boots raw card images, and this one is {image_format}",
            hint=f"qemu-img convert -O raw {image} card.img",
        )
    if "@@" in str(image.resolve()):
        raise UsageError(f"{image}: mtools takes what is before the @@ in this name for the image", hint="rename it")
    with image.open("rb") as card:
        offset = fat_offset(card)
    if offset is None:
        raise HostError(f"{image} has no FAT partition for the firmware of a Raspberry Pi", hint=_HINT)
    partition = f"{image.resolve()}@@{offset}"

    def text(name: str) -> str | None:
        return _read_text(image, partition, name)

    config = text("config.txt")
    if config is None:
        raise HostError(f"{image}: the firmware partition has no config.txt", hint=_HINT)
    try:
        files = boot_files(config, BOARDS[machine.board], include=text)
    except ConfigError as exc:
        raise UsageError(f"{image}: {exc}", hint=_HINT) from exc
    line = text(files.command_line)
    if line is None:
        raise HostError(f"{image}: the firmware partition has no {files.command_line}", hint=_HINT)
    words = " ".join(line.split("\n", 1)[0].split())
    if len(words) > COMMAND_LINE_SIZE or not words.isprintable():
        what = f"has {len(words)} characters" if words.isprintable() else "holds control characters"
        raise UsageError(
            f"{image}: {files.command_line} {what}; a kernel takes {COMMAND_LINE_SIZE}, printable", hint=_HINT
        )
    return BoardBoot(
        partition=partition,
        kernel=files.kernel,
        initrd=files.initrd,
        device_tree=files.device_trees[0],
        command_line=words,
    )


def fat_offset(card: BinaryIO) -> int | None:
    """Where the first FAT partition of an MBR begins, in bytes; None where there is none."""
    sector = card.read(_SECTOR)
    if sector[510:512] != b"\x55\xaa":
        return None
    for entry in range(446, 510, 16):
        kind, start = sector[entry + 4], struct.unpack_from("<I", sector, entry + 8)[0]
        if kind in FAT_TYPES and start:
            return int(start) * _SECTOR
    return None


def mcopy_argv(partition: str, name: str, target: str = "-") -> tuple[str, ...]:
    """Copy one file out of the partition (mcopy(1))."""
    return ("mcopy", "-n", "-i", partition, f"::{name}", target)


def _read_text(image: Path, partition: str, name: str) -> str | None:
    """A small file; None where there is none. Raises UsageError for one that no firmware would read to its end."""
    with ExitStack() as stack:
        memory = memory_file(stack)
        status = _copy(partition, name, memory, _TEXT_BYTES)
        content = os.pread(memory, _TEXT_BYTES, 0)
    if len(content) >= _TEXT_BYTES:
        raise UsageError(f"{image}: {name} has {_TEXT_BYTES >> 10} KiB or more: no text for a firmware", hint=_HINT)
    return content.decode("utf-8", "replace") if status == 0 else None


def _copy(partition: str, name: str, target: int, most_bytes: int) -> int:
    """Mcopy's exit status; neither its output nor its time is without an end (prlimit(1))."""
    bounded = ("prlimit", f"--fsize={most_bytes}", f"--cpu={_MOST_CPU_SECONDS}", "--core=0")
    with spawn((*bounded, *mcopy_argv(partition, name)), stdout=target) as copying:
        return copying.wait()


def copy_out(boot: BoardBoot, name: str, target: int) -> None:
    """Copy a file to an open descriptor. Raises CommandError where the card lacks it, HostError without room."""
    argv = mcopy_argv(boot.partition, name)
    card_bytes = Path(boot.partition.rpartition("@@")[0]).stat().st_size
    status = _copy(boot.partition, name, target, max(card_bytes, _TEXT_BYTES))  # no file is larger than its card
    if status != 0:
        room = os.fstatvfs(target)
        if room.f_bavail * room.f_frsize < _TEXT_BYTES:
            raise HostError(f"there is no room for a copy of {name}, which the board loads", hint=MAKE_ROOM)
        raise CommandError(argv, status, "", hint=f"config.txt makes the board load {name}, and it cannot be read")


def last_console(command_line: str, ports: tuple[str, ...]) -> str | None:
    """The serial port that is /dev/console: the last of these that console= names."""
    named = [word.removeprefix("console=").split(",")[0] for word in command_line.split() if "console=" in word]
    return next((name for name in reversed(named) if name in ports), None)
