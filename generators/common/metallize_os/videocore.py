"""config.txt as a Raspberry Pi's firmware reads it: the files that a board boots, and what is wrong with them.

Pure, and used twice: the generator checks what it puts on the firmware partition, and the verification takes the same
files from there, because QEMU does not emulate the VideoCore that reads them on a board. Sources: Raspberry Pi
documentation, "config.txt" (file format, boot options, conditional filters) and "Boot folder contents"; Linux,
Documentation/arch/arm64/booting.rst.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

LONGEST_LINE = 98
"""The firmware ignores the rest of a line (documentation: "File format")."""
COMMAND_LINE_ROOM = 512
"""What the firmware puts in front of cmdline.txt: MAC addresses, memory, display."""
COMMAND_LINE_SIZE = 2048
"""arch/arm64/include/uapi/asm/setup.h."""
SMALLEST_MEMORY = 1 << 30
_MODELS = re.compile(r"pi\d.*|cm\d.*|all|none")
_GZIP = b"\x1f\x8b"
_INCLUDES = 8
"""How deep they may be."""
_MOST_INCLUDES = 64
"""All in all: files that include each other several times would have no end."""
_LONGEST_NAME = 255


class ConfigError(ValueError):
    """What is wrong with a config.txt that nothing can be made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A family of boards: the filters of config.txt that hold on it, and the files it needs."""

    name: str
    filters: frozenset[str]
    boot_files: tuple[str, ...]
    """Needed before config.txt is read; a Pi 4 has them in its EEPROM."""
    suffix: str
    """In start4.elf and fixup4.dat."""
    device_trees: tuple[str, ...]
    """By the names of the upstream kernel, which upstream_kernel=1 asks for."""
    own_device_trees: tuple[str, ...]
    """By the names of Raspberry Pi's kernel, which the firmware looks for without it."""


BOARDS: Mapping[str, Board] = {
    "pi3": Board(
        name="Raspberry Pi 3",
        filters=frozenset({"pi3"}),
        boot_files=("bootcode.bin",),
        suffix="",
        device_trees=("bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb"),
        own_device_trees=("bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb"),
    ),
    "pi4": Board(
        name="Raspberry Pi 4",
        filters=frozenset({"pi4"}),
        boot_files=(),
        suffix="4",
        device_trees=("bcm2711-rpi-4-b.dtb",),
        own_device_trees=("bcm2711-rpi-4-b.dtb",),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFiles:
    """What config.txt makes a board load, as paths on the firmware partition; an empty one is none."""

    kernel: str
    initrd: str
    device_trees: tuple[str, ...]
    """Each that a board of the family may ask for; the first is the plain model's."""
    command_line: str
    firmware: tuple[str, ...]
    """The VideoCore's own program and its fixup."""
    overlays: tuple[str, ...]
    wide: bool
    """Whether the processors start in 64-bit mode: arm_64bit, which not every firmware has on by itself."""


@dataclass(slots=True)
class _Settings:
    """The settings that hold on one board."""

    values: dict[str, str] = field(default_factory=dict)
    initramfs: str = ""
    overlays: list[str] = field(default_factory=list)


def boot_files(config: str, board: Board, *, include: Callable[[str], str | None] = lambda _name: None) -> BootFiles:
    """What this config.txt makes the board load; `include` gives the text of a file that it includes.

    Raises ConfigError where the includes have no end, or a name is none that a FAT could hold.
    """
    settings = _Settings()
    included = 0

    def counted(name: str) -> str | None:
        nonlocal included
        included += 1
        if included > _MOST_INCLUDES:
            raise ConfigError(f"config.txt includes more than {_MOST_INCLUDES} files, or one of them again and again")
        return include(checked_name(name))

    for key, value in _lines(config, board, counted, _INCLUDES):
        if key == "initramfs":
            settings.initramfs = value.split()[0] if value.split() else ""
        elif key == "dtoverlay":
            name = re.split(r"[,:]", value, maxsplit=1)[0].strip()
            settings.overlays += [name] if name else []
        else:
            settings.values[key] = value
    values = settings.values
    prefix = values.get("os_prefix", "")
    kernel = values.get("kernel", "kernel8.img")
    initrd = settings.initramfs or values.get("ramfsfile", "")
    if not initrd and values.get("auto_initramfs") == "1":
        initrd = re.sub(r"^kernel(.*?)(\.img)?$", r"initramfs\1", kernel)
    tree = values.get("device_tree", "")
    named = board.device_trees if values.get("upstream_kernel", "0") != "0" else board.own_device_trees
    trees = (tree,) if tree else named
    overlay_prefix = values.get("overlay_prefix", "overlays/")
    files = BootFiles(
        kernel=prefix + kernel,
        initrd=prefix + initrd if initrd else "",
        device_trees=tuple(prefix + name for name in trees),
        command_line=prefix + values.get("cmdline", "cmdline.txt"),
        firmware=_firmware(values, board),
        overlays=tuple(f"{prefix}{overlay_prefix}{name}.dtbo" for name in settings.overlays),
        wide=values.get("arm_64bit", "0") != "0",
    )
    named = (files.kernel, files.initrd, files.command_line, *files.device_trees, *files.firmware, *files.overlays)
    for name in filter(None, named):
        checked_name(name)
    return files


def checked_name(name: str) -> str:
    """A name on a FAT. Raises ConfigError for one that no FAT holds, and that a program may take for something else."""
    if not name.isprintable() or len(name) > _LONGEST_NAME or re.search(r"""[][*?"<>|:\\]""", name):
        raise ConfigError(f"config.txt names the file {name[:80]!a}, which no FAT can hold")
    return name


def _firmware(values: Mapping[str, str], board: Board) -> tuple[str, ...]:
    """start.elf and fixup.dat, or their variants for a camera, a small GPU or debugging."""
    variant = ""
    if values.get("start_x") == "1":
        variant = "x"
    elif values.get("start_debug") == "1":
        variant = "db"
    elif values.get("gpu_mem") == "16":
        variant = "cd"
    between = "_" if variant and not board.suffix else ""
    stem = f"{board.suffix}{between}{variant}"
    return values.get("start_file", f"start{stem}.elf"), values.get("fixup_file", f"fixup{stem}.dat")


def _lines(
    text: str, board: Board, include: Callable[[str], str | None], depth: int, held: dict[str, bool] | None = None
) -> Iterator[tuple[str, str]]:
    """Keys and values of the lines whose filters hold. Filters of one kind replace, those of two kinds add up."""
    held = {} if held is None else held
    for raw in text.splitlines():
        line = raw[:LONGEST_LINE].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            _filter(line.strip("[]").strip(), board, held)
            continue
        if not all(held.values()):
            continue
        if match := re.fullmatch(r"(initramfs|include)\s+(.+)", line):
            included = include(match[2]) if match[1] == "include" and depth else None
            if included is not None:
                yield from _lines(included, board, include, depth - 1, held)
            if match[1] == "initramfs":
                yield match[1], match[2]
            continue
        key, equals, value = line.partition("=")
        if equals:
            yield key.strip(), value.strip()


def _filter(name: str, board: Board, held: dict[str, bool]) -> None:
    if name == "all":
        held.clear()
    elif _MODELS.fullmatch(name):
        held["model"] = name in board.filters
    else:  # a display, a GPIO, a serial number, a board type: nothing that every board of the family has
        held[re.sub(r"[=:\d].*", "", name) or "serial"] = False


def problems(files: Mapping[str, bytes], board: Board) -> Iterator[str]:
    """What keeps this board from booting the firmware partition's files, each with what to do about it."""
    names = {name.lower() for name in files}

    def text(name: str) -> str | None:
        return files[name].decode("utf-8", "replace") if name in files else None

    config = text("config.txt")
    if config is None:
        yield "the firmware partition has no config.txt"
        return
    for number, line in enumerate(config.splitlines(), start=1):
        if len(line) > LONGEST_LINE and not line.startswith("#"):
            yield f"config.txt:{number} has {len(line)} characters; the firmware reads {LONGEST_LINE}"
    try:
        wanted = boot_files(config, board, include=text)
    except ConfigError as exc:
        yield str(exc)
        return
    needed = [(name, f"a {board.name} needs it to start") for name in board.boot_files]
    needed += [(name, f"the firmware of a {board.name}") for name in wanted.firmware]
    needed += [(wanted.kernel, "config.txt names it as the kernel")]
    needed += [(wanted.initrd, "config.txt names it as the initramfs")] if wanted.initrd else []
    needed += [(name, f"the device tree of a {board.name}") for name in wanted.device_trees]
    needed += [(name, "config.txt names the overlay") for name in wanted.overlays]
    needed += [(wanted.command_line, "the kernel's command line")]
    missing = [(name, why) for name, why in needed if name.lower() not in names]
    for name, why in missing:
        yield f"{board.name}: the firmware partition has no {name} ({why})"
    if not missing:
        yield from _misfits(files, wanted, board)


def _misfits(files: Mapping[str, bytes], wanted: BootFiles, board: Board) -> Iterator[str]:
    """What is there, and cannot be booted all the same."""
    by_name = {name.lower(): content for name, content in files.items()}
    kernel = by_name[wanted.kernel.lower()]
    if not is_kernel(kernel):
        yield f"{board.name}: {wanted.kernel} is no arm64 kernel that the firmware loads (an Image, plain or gzip)"
    if not wanted.wide:
        yield f"{board.name}: config.txt must say arm_64bit=1, or the firmware starts the arm64 kernel in 32-bit mode"
    line = by_name[wanted.command_line.lower()].decode("utf-8", "replace").strip("\n")
    if "\n" in line:
        yield f"{wanted.command_line} has more than one line: the firmware reads the first"
    if len(line) > COMMAND_LINE_SIZE - COMMAND_LINE_ROOM:
        yield (
            f"{wanted.command_line} has {len(line)} characters; the kernel takes {COMMAND_LINE_SIZE}, "
            f"and the firmware adds some of its own"
        )
    loaded = unpacked_bytes(kernel) + len(by_name.get(wanted.initrd.lower(), b""))
    if loaded > SMALLEST_MEMORY // 2:
        yield f"{board.name}: kernel and initramfs take {loaded >> 20} MiB, half of the memory of a board with 1 GiB"


def is_kernel(content: bytes) -> bool:
    """Whether this is an arm64 Image: its header's magic (booting.rst), or gzip around it."""
    return content[56:60] == b"ARM\x64" or content.startswith(_GZIP)


def unpacked_bytes(kernel: bytes) -> int:
    """What an Image takes in memory: its header says; for gzip its last four bytes do (RFC 1952)."""
    if kernel.startswith(_GZIP):
        return int(struct.unpack("<I", kernel[-4:])[0])
    return max(len(kernel), int(struct.unpack("<Q", kernel[16:24].ljust(8, b"\0"))[0]))
