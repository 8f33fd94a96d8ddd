"""Generator rpi: what goes on the firmware partition, and what keeps a card from being made."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import struct
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from metallize_os import job
from metallize_os.convert import Conversion, ConversionError

from .test_tarstream import archive, member

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[3]
IMAGE = struct.pack("<8x8xQ", 1 << 25).ljust(56, b"\0") + b"ARM\x64"
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "start_cd.elf", "fixup_cd.dat",
            "start4cd.elf", "fixup4cd.dat")  # fmt: skip
TREES = ("bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb")
UUID = "00000000-1111-2222-3333-444444444444"


def load() -> Any:
    """The generator's program as a module."""
    loader = importlib.machinery.SourceFileLoader("rpi_build", str(ROOT / "generators/rpi/build"))
    spec = importlib.util.spec_from_loader("rpi_build", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


rpi = load()


def task(**options: object) -> job.Job:
    return job.Job(
        name="pi",
        platform="linux/arm64",
        hostname="pi",
        format="raw",
        kernel_boot_params=f"root=UUID={UUID} rw rootwait console=tty0 console=ttyS1,115200 quiet",
        options={"config": "", "grow": False, "margin": MIB, "firmware": 256 * MIB, **options},
        ids={"disk": UUID, "firmware": UUID, "root": UUID},
        epoch=1_700_000_000,
    )


def rootfs(*more: tuple[tarfile.TarInfo, bytes], without: str = "") -> bytes:
    names = [f"usr/lib/raspi-firmware/{name}" for name in FIRMWARE]
    names += [f"usr/lib/linux-image-6.12/broadcom/{name}" for name in TREES]
    names += ["usr/lib/linux-image-6.11/broadcom/old.dtb", "boot/firmware/vmlinuz-6.11", "boot/firmware/config.txt"]
    members = [member(name, b"x") for name in names if without not in name or not without]
    members += [
        member("usr/lib/systemd/systemd", b"elf"),
        member("boot/vmlinuz-6.12", IMAGE),
        member("boot/initrd.img-6.12", b"initrd"),
        member("etc/default/raspi-firmware", b"# as packaged\n"),
        *more,
    ]
    return archive(*members)


def converted(
    asked: job.Job, *more: tuple[tarfile.TarInfo, bytes], without: str = ""
) -> tuple[Conversion, tarfile.TarFile]:
    conversion = asked.conversion(
        additions=partial(rpi.additions, asked), captured=rpi.wanted, dropped=rpi.left_out,
    )  # fmt: skip
    sink = io.BytesIO()
    conversion.run(io.BytesIO(rootfs(*more, without=without)), sink)
    sink.seek(0)
    return conversion, tarfile.open(fileobj=sink)


def card(asked: job.Job, *more: tuple[tarfile.TarInfo, bytes], without: str = "") -> dict[str, bytes]:
    files: dict[str, bytes] = rpi.card_files(asked, converted(asked, *more, without=without)[0])
    rpi.require_bootable(files, int(asked.options["firmware"]))
    return files


def text(tar: tarfile.TarFile, name: str) -> str:
    file = tar.extractfile(name)
    assert file is not None
    return file.read().decode()


def test_the_card_has_what_config_names() -> None:
    files = card(task())
    assert set(files) == {*FIRMWARE, *TREES, "config.txt", "cmdline.txt", "vmlinuz-6.12", "initrd.img-6.12"}
    config = files["config.txt"].decode()
    assert "\nkernel=vmlinuz-6.12\ninitramfs initrd.img-6.12\n" in config
    assert files["cmdline.txt"].decode() == f"{task().kernel_boot_params}\n"


def test_lines_of_a_layer_and_of_the_profile_go_into_config_and_stay_for_upgrades() -> None:
    own = member("etc/default/raspi-firmware-custom", b"# ours\ndtparam=i2c_arm=on\n")
    asked = task(config="dtparam=spi=on gpu_mem=16")
    assert (
        card(asked, own)["config.txt"].decode().endswith("\n\n# ours\ndtparam=i2c_arm=on\ndtparam=spi=on\ngpu_mem=16\n")
    )
    _, tar = converted(asked, own)
    assert text(tar, "etc/default/raspi-firmware-custom").endswith("i2c_arm=on\ndtparam=spi=on\ngpu_mem=16\n")


def test_upgrades_on_the_pi_write_the_same_command_line() -> None:
    _, tar = converted(task(), member("etc/default/raspi-extra-cmdline", b"own=1\n"))
    defaults = text(tar, "etc/default/raspi-firmware")
    assert defaults.startswith("# as packaged\n")
    assert f'ROOTPART="UUID={UUID}"\nCONSOLES="tty0 ttyS1,115200"\n' in defaults
    assert text(tar, "etc/default/raspi-extra-cmdline") == "quiet own=1\n"
    assert card(task(), member("etc/default/raspi-extra-cmdline", b"own=1\n"))["cmdline.txt"].endswith(b"quiet own=1\n")


def test_what_hooks_left_below_the_mount_point_is_left_out() -> None:
    own = member("boot/firmware/overlays/mine.dtbo", b"dtbo")
    conversion, tar = converted(task(), own)
    assert [name for name in tar.getnames() if name.startswith("boot/firmware")] == ["boot/firmware"]
    assert rpi.card_files(task(), conversion)["overlays/mine.dtbo"] == b"dtbo"
    assert tar.getmember("usr/lib/clock-epoch").mtime == task().epoch


@pytest.mark.parametrize(
    ("options", "without", "said"),
    [
        ({"config": "kernel=vmlinuz-6.13"}, "", "no vmlinuz-6.13 .config.txt names it as the kernel"),
        ({"config": "[pi4] kernel=kernel8.img"}, "", "Raspberry Pi 4: the firmware partition has no kernel8.img"),
        ({"config": "dtoverlay=missing"}, "", "no overlays/missing.dtbo"),
        ({}, "fixup4.dat", "no fixup4.dat"),
        ({}, "rpi-3-b-plus", "no bcm2837-rpi-3-b-plus.dtb"),
        ({}, "raspi-firmware", "no Raspberry Pi firmware: debian-rpi.dockerfile"),
        ({"firmware": MIB}, "", r"has 1 MiB and needs 5 MiB.*firmware: 64M"),
    ],
)
def test_a_card_that_would_not_boot_is_not_made(options: dict[str, object], without: str, said: str) -> None:
    with pytest.raises(ConversionError, match=said):
        card(task(**options), without=without)


def test_a_layer_that_names_a_wrong_kernel_fails_the_build() -> None:
    with pytest.raises(ConversionError, match=r"would not boot: .*no kernel7.img"):
        card(task(), member("etc/default/raspi-firmware-custom", b"kernel=kernel7.img\n"))
