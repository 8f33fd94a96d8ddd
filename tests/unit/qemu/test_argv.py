"""QEMU's command line, decided purely."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.machines import ovmf, ovmf_secureboot, seabios
from metallize.model.boot import Boot, MachineOverrides, Media
from metallize.model.nic import Nic
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse
from metallize.qemu.argv import GuestPlan, Ports, guest_argv, overlay_argv
from metallize.qemu.firmware import FirmwarePair
from metallize.qemu.network import cards_of
from metallize.qemu.plan import COUNTED_CLOCK, make_plan
from metallize.qemu.repro import repro_script
from tests.signers import pair

PORTS = Ports(serial="socket,fd=4", monitor="socket,fd=6")
PLAN = GuestPlan(
    machine=seabios.MACHINE,
    accelerator="tcg",
    cpu="qemu64",
    memory_bytes=1 << 30,
    cpus=2,
    media=Media.CD,
    image=Path("/images/live, one.iso"),
    image_format=ImageFormat.ISO,
    forwards=(22, 8080),
)
PAIR = FirmwarePair(
    code=Path("/fw/CODE.fd"), code_format="raw", variables=Path("/fw/VARS.fd"), variables_format="raw", description="x"
)


def options(plan: GuestPlan, ports: Ports = PORTS) -> list[tuple[str, str]]:
    argv = guest_argv(plan, ports, paused=True)
    return [(word, argv[number + 1] if number + 1 < len(argv) else "") for number, word in enumerate(argv)]


def test_emulation_keeps_a_bounded_amount_of_translated_code_in_one_thread_or_several() -> None:
    assert ("-accel", "tcg,thread=multi,tb-size=128") in options(PLAN)
    assert ("-accel", "tcg,thread=single,tb-size=128") in options(replace(PLAN, one_thread=True))
    assert ("-accel", "kvm") in options(replace(PLAN, accelerator="kvm"))


def test_a_clock_that_counts_instructions_goes_with_one_thread() -> None:
    told = options(replace(PLAN, counts=True))
    assert ("-icount", "shift=1") in told
    assert ("-accel", "tcg,thread=single,tb-size=128") in told
    assert "-icount" not in [option for option, _ in options(PLAN)]


def test_a_cd_is_read_only_and_its_comma_is_doubled() -> None:
    assert ("-drive", "if=none,id=image0,media=cdrom,format=raw,readonly=on,file=/images/live,, one.iso") in options(
        PLAN
    )
    assert ("-device", "ide-cd,drive=image0,bootindex=0") in options(PLAN)


def test_a_disk_is_written_in_its_overlay_only() -> None:
    plan = replace(PLAN, media=Media.DISK, image_format=ImageFormat.QCOW2, overlay=Path("/run/overlay.qcow2"))
    drives = [value for option, value in options(plan) if option == "-drive"]
    assert drives == ["if=none,id=image0,format=qcow2,cache=unsafe,discard=unmap,file=/run/overlay.qcow2"]
    assert ("-device", "virtio-blk-pci,drive=image0,bootindex=0") in options(plan)


def test_what_is_written_to_a_disk_is_logged_where_that_is_asked_for() -> None:
    plan = replace(PLAN, media=Media.DISK, overlay=Path("/run/overlay.qcow2"), write_log=Path("/run/a,b"))
    assert [value for option, value in options(plan) if option == "-drive"] == [
        (
            "if=none,id=image0,driver=blklogwrites,cache=writeback,discard=unmap,file.driver=qcow2,"
            "file.cache.no-flush=on,file.file.driver=file,file.file.filename=/run/overlay.qcow2,"
            "log.driver=file,log.cache.no-flush=on,log.filename=/run/a,,b"
        )
    ]


def test_a_stick_hangs_on_xhci() -> None:
    plan = replace(PLAN, media=Media.USB, overlay=Path("/run/overlay.qcow2"))
    devices = [value for option, value in options(plan) if option == "-device"]
    assert devices[:2] == ["qemu-xhci", "usb-storage,drive=image0,bootindex=0"]


def test_each_port_of_the_guest_gets_a_port_that_qemu_chooses() -> None:
    ports = "hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:8080"
    assert ("-netdev", f"user,id=net0,restrict=on,{ports}") in options(PLAN)


def test_uefi_gets_its_code_and_its_own_variables() -> None:
    plan = replace(PLAN, machine=ovmf.MACHINE, firmware=PAIR, firmware_variables=Path("/run/vars.fd"))
    drives = [value for option, value in options(plan) if option == "-drive"]
    assert drives[0] == "if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd"
    assert drives[1] == "if=pflash,unit=1,format=raw,file=/run/vars.fd"


def test_secure_boot_guards_its_variables_by_smm() -> None:
    plan = replace(PLAN, machine=ovmf_secureboot.MACHINE, firmware=PAIR, firmware_variables=Path("/run/vars.fd"))
    assert ("-machine", "q35,graphics=off,smm=on") in options(plan)
    assert ("-global", "driver=cfi.pflash01,property=secure,value=on") in options(plan)


def test_a_tpm_is_there_as_soon_as_somebody_emulates_it() -> None:
    assert not [value for _, value in options(replace(PLAN, tpm=True)) if "tpm" in value]
    given = options(replace(PLAN, tpm=True, tpm_chardev="socket,fd=9"))
    assert ("-chardev", "socket,fd=9,id=tpm0") in given
    assert ("-tpmdev", "emulator,id=tpm0,chardev=tpm0") in given
    assert ("-device", "tpm-crb,tpmdev=tpm0") in given


def test_the_script_starts_a_tpm_of_its_own() -> None:
    script = repro_script(replace(PLAN, tpm=True, tpm_state=7, tpm_chardev="socket,fd=9"))
    lines = script.splitlines()
    swtpm = next(number for number, line in enumerate(lines) if line.startswith("swtpm socket"))
    assert swtpm < next(number for number, line in enumerate(lines) if line.startswith("qemu-system"))
    assert "fd=" not in script
    assert "socket,path=$folder/tpm.socket,id=tpm0" in shlex.split(lines[swtpm + 1])
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)


def test_an_empty_machine_has_a_server_and_no_disk() -> None:
    plan = replace(PLAN, media=Media.NETWORK, image_format=ImageFormat.TAR, served=Path("/run/a,b/tftp"))
    given = options(plan)
    assert not [value for option, value in given if option == "-drive"]
    netdev = next(value for option, value in given if option == "-netdev")
    assert netdev.startswith("user,id=net0,restrict=on,tftp=/run/a,,b/tftp,bootfile=boot.ipxe,hostfwd=")
    assert ("-device", "virtio-net-pci,id=nic0,netdev=net0,bootindex=0") in given, "with its boot ROM"
    script = repro_script(plan)
    assert script.index('unpack.py" "$folder/image"') < script.index("http.server") < script.index("qemu-system-x86_64")
    assert "/run/a" not in script
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)


def test_firmware_that_drives_the_card_itself_boots_without_the_roms_old_ipxe() -> None:
    plan = replace(PLAN, media=Media.NETWORK, image_format=ImageFormat.TAR, served=Path("/run/tftp"))
    uefi = replace(plan, machine=ovmf.MACHINE)
    assert ("-device", "virtio-net-pci,id=nic0,netdev=net0,romfile=,bootindex=0") in options(uefi)
    other = replace(uefi, cards=cards_of([Nic(device="e1000e")], "virtio-net-pci"))
    assert any(value.startswith("e1000e,") and "romfile" not in value for _, value in options(other))


def test_the_seed_is_a_disk_that_nobody_writes_to() -> None:
    given = options(replace(PLAN, seed=Path("/run/seed.iso")))
    assert ("-drive", "if=none,id=seed0,format=raw,readonly=on,file=/run/seed.iso") in given
    assert ("-device", "virtio-blk-pci,drive=seed0") in given


def test_nothing_comes_by_default() -> None:
    argv = guest_argv(PLAN, PORTS, paused=True)
    assert {"-nodefaults", "-no-user-config", "-S"} <= set(argv)
    assert "-S" not in guest_argv(PLAN, PORTS, paused=False)


def test_a_credential_is_one_string_of_smbios() -> None:
    plan = replace(PLAN, credentials=("io.systemd.credential:a=b,c",))
    assert ("-smbios", "type=11,value=io.systemd.credential:a=b,,c") in options(plan)


def test_the_overlay_grows_to_the_size_asked_for() -> None:
    plan = replace(PLAN, image_format=ImageFormat.VMDK, disk_bytes=8 << 30)
    argv = overlay_argv(plan, Path("o.qcow2"))
    assert argv[-1] == str(8 << 30)
    assert argv[argv.index("-F") + 1] == "vmdk"


@pytest.mark.parametrize("media", list(Media))
def test_the_script_that_boots_it_by_hand_is_one_that_sh_reads(media: Media) -> None:
    overlay = None if media is Media.CD else Path("/run/overlay.qcow2")
    plan = replace(PLAN, media=media, overlay=overlay, firmware=PAIR, firmware_variables=Path("/run/vars.fd"))
    script = repro_script(plan)
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)
    line = next(line for line in script.splitlines() if line.startswith("qemu-system"))
    words = shlex.split(line)
    assert "stdio,mux=on,signal=off,id=serial0" in words
    assert "if=pflash,unit=1,format=raw,file=$folder/vars.fd" in words
    assert not any("fd=" in word for word in words)


def test_the_script_finds_an_image_that_has_been_published() -> None:
    script = repro_script(replace(PLAN, image=Path("/b/kept, here/x.img"), published=Path("/b/x.img")))
    assert "for image in '/b/kept, here/x.img' /b/x.img; do" in script
    assert "kept, here" not in next(line for line in script.splitlines() if line.startswith("qemu-system"))


def test_packets_are_dumped_only_where_they_are_asked_for() -> None:
    ports = Ports(serial="socket,fd=3", monitor="socket,fd=4")
    assert not any("filter-dump" in word for word in guest_argv(PLAN, ports, paused=True))
    argv = guest_argv(replace(PLAN, capture=Path("/r/a,b.pcap")), ports, paused=True)
    assert argv[argv.index("-object") + 1] == "filter-dump,id=capture0,netdev=net0,file=/r/a,,b.pcap"


def test_own_keys_are_written_into_the_variables_by_hand_too(tmp_path: Path) -> None:
    first, second = pair("mine")[1], pair("yours")[1]
    plan = replace(PLAN, machine=ovmf_secureboot.MACHINE, firmware=PAIR, keys=first + second)
    script = repro_script(plan)
    assert "cp /fw/VARS.fd" not in script
    assert first in script
    assert second in script
    [command] = [line for line in script.splitlines() if line.startswith("virt-fw-vars")]
    assert shlex.split(command)[:5] == ["virt-fw-vars", "--input", "/fw/VARS.fd", "--output", "$folder/vars.fd"]
    assert command.count("--add-db") == 2
    file = tmp_path / "repro.sh"
    file.write_text(script)
    subprocess.run(["sh", "-n", file], check=True)


@pytest.mark.parametrize(
    ("slowness", "cpus", "name", "clock", "counts"),
    [
        (11.9, 2, "tcg", None, False), (12.0, 2, "tcg", None, True), (12.0, 3, "tcg", None, False),
        (99.0, 2, "kvm", None, False), (1.0, 1, "tcg", COUNTED_CLOCK, True), (99.0, 1, "tcg", "", False),
        (99.0, 1, "kvm", COUNTED_CLOCK, False), (99.0, 3, "tcg", COUNTED_CLOCK, False),
    ],
)  # fmt: skip
def test_a_guests_clock_is_as_fits_the_host_or_as_asked(
    tmp_path: Path, slowness: float, cpus: int, name: str, clock: str | None, counts: bool
) -> None:
    image = tmp_path / "image.img"
    image.write_bytes(bytes(1 << 20))
    use = AcceleratorUse(name=name, cpu="max", reason="", slowness=slowness, cached=False)
    plan = make_plan(
        image=image, image_format=ImageFormat.RAW, machine=seabios.MACHINE, boot=Boot(cpus=cpus),
        overrides=MachineOverrides(), accelerator=use, clock=clock,
    )  # fmt: skip
    assert plan.counts is counts
