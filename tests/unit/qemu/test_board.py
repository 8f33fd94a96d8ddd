"""A card of a board whose firmware QEMU does not emulate: what is loaded in its place, and how QEMU is told."""

from __future__ import annotations

import io
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.errors import CommandError, HostError, UsageError
from metallize.machines import raspi3b
from metallize.model.boot import Boot, MachineOverrides, Media
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse
from metallize.qemu.argv import GuestPlan, Ports, guest_argv, overlay_argv
from metallize.qemu.board import BoardBoot, copy_out, fat_offset, last_console, read_board_boot
from metallize.qemu.plan import make_plan
from metallize.qemu.repro import repro_script

MIB = 1 << 20
CONFIG = "[pi4]\nkernel=wrong\n[pi3]\nkernel=vmlinuz\n[all]\ninitramfs initrd\ndevice_tree=pi.dtb\n"
FILES = {
    "config.txt": CONFIG,
    "cmdline.txt": "console=ttyS1,115200 quiet\n",
    "vmlinuz": "K",
    "initrd": "I",
    "pi.dtb": "D",
}
BOOT = BoardBoot(
    partition="/card.img@@1048576", kernel="vmlinuz", initrd="initrd", device_tree="pi.dtb", command_line="quiet"
)
PLAN = GuestPlan(
    machine=raspi3b.MACHINE,
    accelerator="tcg",
    cpu="cortex-a53",
    memory_bytes=4 << 30,
    cpus=2,
    media=Media.DISK,
    image=Path("/card.img"),
    image_format=ImageFormat.RAW,
    overlay=Path("/run/overlay"),
    board=BOOT,
    board_files=(Path("/run/k"), Path("/run/d"), Path("/run/i")),
)
PORTS = Ports(serial="socket,fd=4", monitor="socket,fd=6", others=("socket,fd=8",))
USE = AcceleratorUse(name="tcg", cpu="cortex-a53", reason="", slowness=1.0, cached=False)


def mbr(kind: int, start: int) -> bytes:
    entry = struct.pack("<4xB3xII", kind, start, 100)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def make_card(folder: Path, files: dict[str, str]) -> Path:
    """A card as a real tool makes it: an MBR and a FAT partition at 1 MiB."""
    card = folder / "card.img"
    card.write_bytes(mbr(0x0C, 2048) + bytes(4 * MIB))
    drive = f"{card}@@{MIB}"
    subprocess.run(["mformat", "-i", drive, "-T", "6000", "::"], check=True)
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", drive, "-", f"::{name}"], check=True, input=text.encode())
    return card


def options(plan: GuestPlan) -> list[tuple[str, str]]:
    argv = guest_argv(plan, PORTS, paused=True)
    return [(word, argv[number + 1] if number + 1 < len(argv) else "") for number, word in enumerate(argv)]


def test_what_the_board_would_load_is_read_from_its_card(tmp_path: Path) -> None:
    boot = read_board_boot(make_card(tmp_path, FILES), ImageFormat.RAW, raspi3b.MACHINE)
    assert (boot.kernel, boot.initrd, boot.device_tree) == ("vmlinuz", "initrd", "pi.dtb")
    assert boot.command_line == "console=ttyS1,115200 quiet"
    with (tmp_path / "copy").open("wb") as copy:
        copy_out(boot, boot.kernel, copy.fileno())
    assert (tmp_path / "copy").read_text() == "K"


@pytest.mark.parametrize("missing", ["config.txt", "cmdline.txt"])
def test_a_card_without_its_text_files(tmp_path: Path, missing: str) -> None:
    card = make_card(tmp_path, {name: text for name, text in FILES.items() if name != missing})
    with pytest.raises(HostError, match=missing):
        read_board_boot(card, ImageFormat.RAW, raspi3b.MACHINE)


def test_a_file_that_config_names_and_the_card_lacks(tmp_path: Path) -> None:
    card = make_card(tmp_path, {name: text for name, text in FILES.items() if name != "initrd"})
    boot = read_board_boot(card, ImageFormat.RAW, raspi3b.MACHINE)
    with (tmp_path / "copy").open("wb") as copy, pytest.raises(CommandError, match="initrd"):
        copy_out(boot, boot.initrd, copy.fileno())


def test_what_is_no_card(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(mbr(0x83, 2048))
    with pytest.raises(HostError, match="no FAT partition"):
        read_board_boot(file, ImageFormat.RAW, raspi3b.MACHINE)
    with pytest.raises(HostError, match="boots raw card images"):
        read_board_boot(file, ImageFormat.QCOW2, raspi3b.MACHINE)


@pytest.mark.parametrize(
    ("sector", "offset"),
    [(mbr(0x0C, 8192), 4 * MIB), (mbr(0x83, 8192), None), (mbr(0x0E, 0), None), (b"", None), (bytes(512), None)],
)
def test_where_the_fat_partition_is(sector: bytes, offset: int | None) -> None:
    assert fat_offset(io.BytesIO(sector)) == offset


@pytest.mark.parametrize(
    ("line", "console", "echoing"),
    [
        ("console=tty0 console=ttyS1,115200", "ttyS1", set()),
        ("console=ttyS1 console=ttyAMA0,115200", "ttyAMA0", {"ttyS1"}),
        ("quiet", "ttyS1", set()),
    ],
)
def test_the_console_is_the_last_that_the_card_names(line: str, console: str, echoing: set[str]) -> None:
    plan = replace(PLAN, board=replace(BOOT, command_line=line))
    assert plan.console == console
    assert plan.echoing_ports == echoing
    serial = [value for option, value in options(plan) if option == "-chardev" and "serial" in value]
    mine = ["socket,fd=8,id=serial0", "socket,fd=4,id=serial1"]
    assert serial == (mine if console == "ttyS1" else ["socket,fd=4,id=serial0", "socket,fd=8,id=serial1"])
    assert last_console("console=ttyS10", ("ttyS1",)) is None


def test_a_board_has_the_hardware_that_it_has() -> None:
    argv = options(PLAN)
    assert ("-smp", "4") in argv
    assert ("-m", "1024M") in argv
    assert ("-device", "usb-net,id=nic0,netdev=net0") in argv
    assert ("-drive", "if=sd,format=qcow2,cache=unsafe,discard=unmap,file=/run/overlay") in argv


def test_the_cards_own_files_are_loaded() -> None:
    argv = options(PLAN)
    assert [pair for pair in argv if pair[0] in ("-kernel", "-dtb", "-initrd", "-append")] == [
        ("-kernel", "/run/k"),
        ("-dtb", "/run/d"),
        ("-initrd", "/run/i"),
        ("-append", "quiet"),
    ]
    without = replace(PLAN, board=replace(BOOT, initrd=""), board_files=PLAN.board_files[:2])
    assert "-initrd" not in dict(options(without))


def test_credentials_go_on_the_command_line_where_there_is_no_smbios() -> None:
    argv = options(replace(PLAN, credentials=("io.systemd.credential.binary:tmpfiles.extra=QQ==",)))
    assert ("-append", "quiet systemd.set_credential_binary=tmpfiles.extra:QQ==") in argv
    assert "-smbios" not in dict(argv)


@pytest.mark.parametrize(("wanted", "grown"), [(None, 8 * MIB), (5 * MIB, 8 * MIB), (9 * MIB, 16 * MIB)])
def test_a_card_has_a_power_of_two(tmp_path: Path, wanted: int | None, grown: int) -> None:
    card = make_card(tmp_path, FILES)
    plan = make_plan(
        image=card, image_format=ImageFormat.RAW, machine=raspi3b.MACHINE, boot=Boot(disk=wanted),
        overrides=MachineOverrides(), accelerator=USE,
    )  # fmt: skip
    assert plan.disk_bytes == grown
    assert overlay_argv(plan, Path("/o"))[-1] == str(grown)


def test_the_repro_script_takes_the_files_from_the_card(tmp_path: Path) -> None:
    script = repro_script(PLAN)
    assert 'mcopy -n -i /card.img@@1048576 ::vmlinuz "$folder"/kernel' in script
    assert '-kernel "$folder"/kernel -dtb "$folder"/dtb -initrd "$folder"/initrd' in script
    file = tmp_path / "repro.sh"
    file.write_text(script)
    assert subprocess.run(["sh", "-n", file], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config.txt": "include config.txt\n" * 40}, "includes more than 64 files"),
        ({"config.txt": CONFIG + "# long\n" * 20_000}, "config.txt has 64 KiB or more"),
        ({"cmdline.txt": "x" * 200_000}, "cmdline.txt has 64 KiB or more"),
        ({"cmdline.txt": "x" * 3000}, "cmdline.txt has 3000 characters"),
        ({"cmdline.txt": "quiet\0\x1b[2J"}, "control characters"),
        ({"config.txt": "kernel=a\0b\n"}, "which no FAT can hold"),
    ],
)
def test_a_card_that_attacks_is_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_board_boot(make_card(tmp_path, {**FILES, **changed}), ImageFormat.RAW, raspi3b.MACHINE)
