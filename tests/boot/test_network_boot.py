"""An empty machine that boots from the network: a script for iPXE under BIOS, a program under UEFI."""

from __future__ import annotations

import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from metallize.errors import UsageError
from metallize.events import Silent
from metallize.files.image_format import format_of
from metallize.machines import ovmf, seabios
from metallize.model.boot import Boot, MachineOverrides, Media
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport, Verdict
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import tiny_image
from tests.conftest import Cli

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)"
SCRIPT = f"#!ipxe\necho {KERNEL}\nimgfetch second.txt || exit\necho\necho -n tiny login: ${{}}\nsleep 600\n"


def efi_program(text: str) -> bytes:
    """A PE32+ application of one section that prints a text on COM1 and halts (Microsoft's PE format; UEFI 2.1.1)."""
    print_and_halt = bytes.fromhex(
        "48 8d 35 10 00 00 00"  # lea rsi, [rip + 0x10]: the text, behind the code
        "66 ba f8 03"  # mov dx, 0x3f8
        "ac"  # lodsb
        "84 c0"  # test al, al
        "74 03"  # jz end
        "ee"  # out dx, al
        "eb f8"  # jmp to lodsb
        "f3 90"  # pause
        "eb fc"  # jmp to pause
    )
    content = (print_and_halt.ljust(0x17, b"\x90") + text.encode() + b"\0").ljust(0x200, b"\0")
    header = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    # machine x86-64, one section, an optional header of 0xf0 bytes, an executable with long addresses
    header += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0xF0, 0x22)
    header += struct.pack("<HBBIIIII", 0x20B, 0, 0, 0x200, 0, 0, 0x1000, 0x1000)
    # at 4 MiB, or anywhere: the code asks for no address; sections by pages, in the file by 512 bytes
    header += struct.pack("<QIIHHHHHHIIIIHH", 0x400000, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x2000, 0x200, 0, 10, 0)
    header += struct.pack("<QQQQII", 0, 0, 0, 0, 0, 16) + bytes(16 * 8)
    header += b".text\0\0\0" + struct.pack("<IIIIIIHHI", 0x200, 0x1000, 0x200, 0x200, 0, 0, 0, 0, 0x60000020)
    return header.ljust(0x200, b"\0") + content


def archive(folder: Path, **files: bytes) -> Path:
    """What a server would hand out, as one image."""
    tree = folder / "tree"
    tree.mkdir()
    path = folder / "net.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            (tree / name.replace("_", ".")).write_bytes(content)
            tar.add(tree / name.replace("_", "."), arcname=name.replace("_", "."))
    return path


def verify(image: Path, machine: Machine, media: Media | None = None) -> BootReport:
    request = VerifyRequest(
        image=image,
        image_format=format_of(image),
        boot=Boot(timeout=60, memory="256M"),
        assertions=(),
        machine_entry=machine.name,
        machine=machine,
        kinds={},
        runs_dir=image.parent / "runs",
        overrides=MachineOverrides(media=media),
    )
    return verify_machine(request, Silent())


@pytest.mark.parametrize("machine", [seabios.MACHINE, ovmf.MACHINE], ids=lambda machine: machine.name)
def test_an_empty_machine_boots_what_a_server_hands_out(machine: Machine, tmp_path: Path) -> None:
    program = efi_program(f"{KERNEL}\r\n\r\ntiny login: ")
    image = archive(tmp_path, boot_ipxe=SCRIPT.encode(), bootx64_efi=program, second_txt=b"found\n")
    assert format_of(image) is ImageFormat.TAR
    report = verify(image, machine)
    assert report.verdict is Verdict.PASSED, report.failure
    assert report.media is Media.NETWORK
    assert "-drive" not in (report.run_folder / "argv.txt").read_text().replace("-drive\nif=pflash", "")
    assert not list(report.run_folder.glob("tftp*"))
    subprocess.run(["sh", "-n", report.run_folder / "repro.sh"], check=True)


def test_a_server_without_the_file_is_named(tmp_path: Path) -> None:
    report = verify(archive(tmp_path, other_txt=b"nothing to boot\n"), seabios.MACHINE)
    assert report.verdict is Verdict.FAILED
    assert report.failure is not None
    assert report.failure.stage == "firmware"


def test_a_disk_is_not_booted_from_the_network(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is raw, and cannot be booted from network"):
        verify(tiny_image(tmp_path, KERNEL), seabios.MACHINE, Media.NETWORK)


def test_an_archive_that_others_made_is_verified(cli: Cli, tmp_path: Path) -> None:
    image = archive(tmp_path, boot_ipxe=SCRIPT.encode(), second_txt=b"found\n")
    done = cli("verify", "--image", image, "--build-dir", tmp_path / "build")
    assert done.status == 0, done.stderr
    image.write_bytes(image.read_bytes()[:700])
    done = cli("verify", "--image", image, "--build-dir", tmp_path / "build")
    assert done.status == 2
    assert "cut short" in done.stderr
