"""config.txt, read as a Raspberry Pi's firmware reads it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.qemu.videocore import BOARDS, BootFiles, ConfigError, boot_files, problems

PI3, PI4 = BOARDS["pi3"], BOARDS["pi4"]
IMAGE = struct.pack("<8x8xQ", 1 << 25).ljust(56, b"\0") + b"ARM\x64" + b"\0" * 64
CONFIG = "arm_64bit=1\nupstream_kernel=1\n\nkernel=vmlinuz-6.12\ninitramfs initrd.img-6.12\n"
CARD = {
    "config.txt": CONFIG.encode(),
    "cmdline.txt": b"root=/dev/mmcblk0p2 rw\n",
    "vmlinuz-6.12": IMAGE,
    "initrd.img-6.12": b"initrd",
    **dict.fromkeys(("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"), b"x"),
    **dict.fromkeys(("bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb"), b"x"),
}


def read(config: str, board: str = "pi3", **files: str) -> BootFiles:
    return boot_files(config, BOARDS[board], include=lambda name: files.get(name.partition(".")[0]))


def found(files: Mapping[str, bytes]) -> list[str]:
    return [problem for board in BOARDS.values() for problem in problems(files, board)]


def with_config(config: str, **more: bytes) -> dict[str, bytes]:
    return {**CARD, "config.txt": config.encode(), **more}


def test_debians_own_config() -> None:
    files = read(CONFIG)
    assert files.kernel == "vmlinuz-6.12"
    assert files.initrd == "initrd.img-6.12"
    assert files.device_trees[0] == "bcm2837-rpi-3-b.dtb"
    assert files.command_line == "cmdline.txt"
    assert files.firmware == ("start.elf", "fixup.dat")
    assert read(CONFIG, "pi4").firmware == ("start4.elf", "fixup4.dat")


@pytest.mark.parametrize(
    ("config", "pi3", "pi4"),
    [
        ("", "kernel8.img", "kernel8.img"),
        ("kernel=a", "a", "a"),
        ("kernel=a\nkernel=b", "b", "b"),
        ("[pi4]\nkernel=a", "kernel8.img", "a"),
        ("[pi4]\nkernel=a\n[pi3]\nkernel=b", "b", "a"),
        ("[pi4]\nkernel=a\n[all]\nkernel=b", "b", "b"),
        ("[pi3]\nkernel=a\n[none]\nkernel=b", "a", "kernel8.img"),
        ("[pi3+]\nkernel=a", "kernel8.img", "kernel8.img"),
        ("[cm4]\nkernel=a\n[pi4]\nkernel=b", "kernel8.img", "b"),
        ("[gpio4=1]\nkernel=a\n[all]\n", "kernel8.img", "kernel8.img"),
        ("[gpio4=1]\n[pi4]\nkernel=a", "kernel8.img", "kernel8.img"),
        ("[0x12345678]\nkernel=a", "kernel8.img", "kernel8.img"),
        ("[EDID=X]\nkernel=a\n[all]\nkernel=b", "b", "b"),
        ("# kernel=a\n  kernel = b  \n", "b", "b"),
        ("os_prefix=new/\nkernel=a", "new/a", "new/a"),
        ("x=" + "y" * 200 + "\nkernel=a", "a", "a"),
    ],
)
def test_sections(config: str, pi3: str, pi4: str) -> None:
    assert (read(config).kernel, read(config, "pi4").kernel) == (pi3, pi4)


@pytest.mark.parametrize(
    ("config", "initrd"),
    [
        ("", ""),
        ("initramfs a followkernel", "a"),
        ("initramfs a 0x00a00000", "a"),
        ("ramfsfile=a", "a"),
        ("auto_initramfs=1", "initramfs8"),
        ("auto_initramfs=1\nkernel=kernel_2712.img", "initramfs_2712"),
    ],
)
def test_the_initramfs(config: str, initrd: str) -> None:
    assert read(config).initrd == initrd


@pytest.mark.parametrize(
    ("config", "pi3", "pi4"),
    [
        ("gpu_mem=16", ("start_cd.elf", "fixup_cd.dat"), ("start4cd.elf", "fixup4cd.dat")),
        ("start_x=1", ("start_x.elf", "fixup_x.dat"), ("start4x.elf", "fixup4x.dat")),
        ("gpu_mem=64", ("start.elf", "fixup.dat"), ("start4.elf", "fixup4.dat")),
        ("start_file=s\nfixup_file=f", ("s", "f"), ("s", "f")),
    ],
)
def test_the_firmwares_variants(config: str, pi3: tuple[str, str], pi4: tuple[str, str]) -> None:
    assert (read(config).firmware, read(config, "pi4").firmware) == (pi3, pi4)


def test_a_file_is_included_under_the_filters_of_its_place() -> None:
    assert read("[pi4]\ninclude extra.txt\n[all]\n", extra="kernel=a").kernel == "kernel8.img"
    assert read("include extra.txt", extra="kernel=a").kernel == "a"
    assert read("include extra.txt", extra="include extra.txt\nkernel=a").kernel == "a", "it ends"


def test_overlays_and_a_device_tree_of_ones_own() -> None:
    files = read("dtoverlay=hifiberry-dac,x=1\ndtoverlay=\ndevice_tree=my.dtb\ncmdline=my.txt")
    assert files.overlays == ("overlays/hifiberry-dac.dtbo",)
    assert files.device_trees == ("my.dtb",)
    assert files.command_line == "my.txt"


def test_a_card_that_boots_has_no_problem() -> None:
    assert found(CARD) == []
    assert found({**CARD, "vmlinuz-6.12": b"\x1f\x8b" + struct.pack("<I", 1 << 25)}) == []


@pytest.mark.parametrize("name", [name for name in CARD if name != "config.txt"])
def test_every_file_is_needed(name: str) -> None:
    told = found({key: value for key, value in CARD.items() if key != name})
    assert told
    assert all(name in each for each in told)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (with_config(f"{CONFIG}kernel=vmlinuz-6.13\n"), "no vmlinuz-6.13 (config.txt names it as the kernel)"),
        (with_config(f"{CONFIG}[pi4]\nkernel=kernel8.img\n"), "Raspberry Pi 4: the firmware partition has no kernel8"),
        (with_config(f"{CONFIG}upstream_kernel=0\n"), "no bcm2710-rpi-3-b.dtb (the device tree of a Raspberry Pi 3)"),
        (with_config(f"{CONFIG}[pi3]\narm_64bit=0\n"), "Raspberry Pi 3: config.txt must say arm_64bit=1"),
        (with_config(f"{CONFIG}dtoverlay=nothing\n"), "no overlays/nothing.dtbo (config.txt names the overlay)"),
        (with_config(f"{CONFIG}gpu_mem=16\n"), "no start_cd.elf"),
        (with_config(f"{CONFIG}dtparam={'x' * 100}\n"), "config.txt:6 has 108 characters; the firmware reads 98"),
        ({**CARD, "vmlinuz-6.12": b"MZ zboot" * 20}, "vmlinuz-6.12 is no arm64 kernel"),
        ({**CARD, "cmdline.txt": b"a\nb\n"}, "more than one line"),
        ({**CARD, "cmdline.txt": b"x" * 1600}, "1600 characters; the kernel takes 2048"),
        ({**CARD, "vmlinuz-6.12": b"\x1f\x8b" + struct.pack("<I", 1 << 30)}, "half of the memory"),
        ({}, "no config.txt"),
    ],
)  # fmt: skip
def test_what_would_not_boot_is_said(files: dict[str, bytes], said: str) -> None:
    assert any(said in problem for problem in found(files)), found(files)


def test_names_are_those_of_a_fat_filesystem() -> None:
    assert found(with_config(CONFIG.replace("vmlinuz", "VMLINUZ"))) == []


@given(st.text())
def test_reading_never_fails(config: str) -> None:
    for board in BOARDS.values():
        boot_files(config, board, include=lambda _name: config)


def test_a_config_that_includes_itself_forty_times_has_an_end() -> None:
    again = "include config.txt\n" * 40
    with pytest.raises(ConfigError, match="includes more than 64 files"):
        boot_files(again, PI3, include=lambda _: again)
    assert "includes more than 64 files" in found(with_config(again))[0]


@pytest.mark.parametrize("name", ["a\0b", "*", "a[b]", "a\\b", "::x", "x" * 20 + "\x1b"])
@pytest.mark.parametrize("key", ["kernel=", "cmdline=", "device_tree=", "initramfs ", "include "])
def test_a_name_that_no_fat_holds_is_not_looked_for(key: str, name: str) -> None:
    with pytest.raises(ConfigError, match="which no FAT can hold"):
        boot_files(key + name, PI3)
