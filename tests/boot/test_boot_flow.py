"""What a profile asks of the boot itself: refusals, console steps, budgets, and later boots of the same disk."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.command import run
from metallize.events import Silent
from metallize.machines import ovmf, seabios
from metallize.model.boot import Boot, MachineOverrides, Media, Step
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.qemu.argv import GuestPlan
from metallize.qemu.filesystems import check_filesystems
from metallize.qemu.vm import prepared_files
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import tiny_image
from tests.conftest import ROOT, Cli

pytestmark = pytest.mark.boot
KERNEL = "[    0.000000] Linux version 6.12 (tiny)\r\n"


def verify(
    path: Path, *, machine: Machine = seabios.MACHINE, expect: str | dict[str, str] | None = None, **boot: Any
) -> BootReport:
    request = VerifyRequest(
        image=path,
        image_format=ImageFormat.RAW,
        boot=Boot.model_validate({"timeout": 20, "memory": "256M", **boot}),
        assertions=(),
        machine_entry=machine.name,
        machine=machine,
        kinds={},
        runs_dir=path.parent / "runs",
        overrides=MachineOverrides.model_validate({"expect": expect}),
    )
    return verify_machine(request, Silent())


def empty_disk(folder: Path) -> Path:
    path = folder / "empty.img"
    path.write_bytes(bytes(1 << 20))
    return path


def test_an_image_that_must_not_boot_passes_where_the_firmware_refuses_it(tmp_path: Path) -> None:
    report = verify(empty_disk(tmp_path), expect="refused")
    assert report.passed
    assert report.stage == "firmware"
    result, faults = report.results
    assert (result.kind, faults.title) == ("refused", "the console shows no failure")
    assert result.note.startswith("bios-no-bootable-device: the firmware found nothing to boot")


def test_another_refusal_than_the_named_one_fails(tmp_path: Path) -> None:
    report = verify(empty_disk(tmp_path), expect={"refused": "secure-boot-refused"})
    assert not report.passed
    assert report.failure is not None
    assert report.failure.rule == "bios-no-bootable-device"


def test_uefi_refuses_what_only_a_bios_boots(tmp_path: Path) -> None:
    assert verify(tiny_image(tmp_path, KERNEL), machine=ovmf.MACHINE, expect="refused", timeout=60).passed


def test_an_image_that_boots_was_not_refused(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), expect="refused")
    assert report.failure is not None
    assert report.failure.rule == "not-refused"
    assert report.failure.stage == "kernel"
    assert report.seconds < 20


def test_silence_is_no_refusal(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, "hello\r\n")
    report = verify(path, expect="refused", timeout=2)
    assert report.failure is not None
    assert report.failure.rule == "timeout"
    assert verify(path, expect={"refused": "timeout"}, timeout=2).passed


def test_steps_are_taken_and_something_must_be_seen_beside_them(tmp_path: Path) -> None:
    """A guest with a prompt of its own: no login prompt ever comes, and none is needed where a line is named."""
    path = tiny_image(tmp_path, f"{KERNEL}choose> ")
    steps = (Step(expect="/Linux version [0-9.]+/"), Step(expect="/^choose> $/", send="<down>\n"))
    report = verify(path, steps=steps, timeout=4)
    assert report.failure is not None
    assert "a login prompt was not seen" in report.failure.cause
    report = verify(path, steps=steps, console={"require": ["Linux version"]})
    assert report.passed
    assert [result.title for result in report.results] == [
        "step 1: expect /Linux version [0-9.]+/",
        "step 2: expect /^choose> $/",
        "the console shows what it must",
        "console shows /Linux version/",
        "the console shows no failure",
        "the machine runs to the end",
    ]


def test_a_step_that_finds_nothing_ends_the_boot_and_names_itself(tmp_path: Path) -> None:
    path = tiny_image(tmp_path, f"{KERNEL}choose> ")
    report = verify(path, steps=(Step(expect="choose>", send="1\n"), Step(expect="Starting", timeout="1s")))
    assert report.failure is not None
    assert report.failure.rule == "console-step"
    assert report.failure.cause.startswith("step 2: expect Starting")
    assert any("choose>" in line for line in report.console_tail)
    assert [str(result.status) for result in report.results if result.kind == "step"] == ["held", "failed"]
    assert not [result.title for result in report.results if result.holds and result.kind != "step"]


def test_a_stage_over_its_budget_fails_with_both_times(tmp_path: Path) -> None:
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), time={"ready": "1m", "login": "1ms", "initrd": "9s"})
    assert not report.passed
    assert {result.title: result.holds for result in report.results if result.kind == "time"} == {
        "time in initrd": False,
        "time to login": False,
        "time to ready": True,
    }


def test_steps_on_the_command_line_for_an_image_that_nobody_knows(tmp_path: Path, cli: Cli) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}choose> \r\ntiny login: ")
    steps = tmp_path / "steps.yaml"
    steps.write_text("- {expect: 'choose>', send: '1<enter>'}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 0, done.stderr
    steps.write_text("- {expect: 'chose>', timeout: 1s}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 1
    assert "step 1: expect chose>" in done.stderr
    steps.write_text("- {expect: 'choose>', send: '<entr>'}\n")
    done = cli("verify", "--image", image, "--steps", steps, "--build-dir", tmp_path / "build")
    assert done.status == 2
    assert f"{steps}:1:" in done.stderr
    assert "`<entr>`" in done.stderr


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vhdx"])
def test_an_image_is_known_by_its_content(tmp_path: Path, cli: Cli, kind: str) -> None:
    image = tiny_image(tmp_path, f"{KERNEL}choose> \r\ntiny login: ")
    other = tmp_path / "image.of-unknown-kind"
    run(("qemu-img", "convert", "-O", kind, image, other))
    (tmp_path / "steps.yaml").write_text("[{expect: choose>}]\n")
    done = cli("verify", "--image", other, "--steps", tmp_path / "steps.yaml", "--build-dir", tmp_path / "build")
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.img", "No such file or directory"),
        ("folder.img", "Is a directory"),
        ("empty.img", "is empty"),
        ("pipe.img", "is no file"),
        ("cut.qcow2", "begins as qcow2 does, but QEMU cannot read it"),
        ("overlay.qcow2", "below.qcow2, which QEMU cannot read: No such file or directory"),
        ("packed.img", "is compressed with xz"),
        ("page.img", "is no disk image, but text"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_booted(tmp_path: Path, cli: Cli, name: str, said: str) -> None:
    (tmp_path / "folder.img").mkdir()
    (tmp_path / "empty.img").touch()
    os.mkfifo(tmp_path / "pipe.img")
    (tmp_path / "cut.qcow2").write_bytes(b"QFI\xfb")
    run(
        (
            "qemu-img",
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-b",
            "below.qcow2",
            "-F",
            "raw",
            tmp_path / "overlay.qcow2",
            "1M",
        )
    )
    (tmp_path / "packed.img").write_bytes(lzma.compress(bytes(1 << 20)))
    (tmp_path / "page.img").write_text("<html>404 Not Found</html>\n" * 100)
    done = cli("verify", "--image", tmp_path / name, "--build-dir", tmp_path / "build")
    assert done.status == 2
    assert said in done.stderr
    assert not (tmp_path / "build").exists()


def filesystem_of(image: Path, folder: Path) -> str:
    plan = GuestPlan(
        machine=seabios.MACHINE,
        accelerator="tcg",
        cpu="qemu64",
        memory_bytes=1 << 28,
        cpus=1,
        media=Media.DISK,
        image=image,
        image_format=ImageFormat.RAW,
    )
    with prepared_files(plan, folder) as ready:
        [checked] = check_filesystems(ready, folder)
    return checked.problem


def test_a_filesystem_is_checked_from_the_host_and_never_changed(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    run(("mke2fs", "-q", "-F", "-t", "ext4", "-d", ROOT / "layers", image, "64M"))
    before = image.read_bytes()
    assert filesystem_of(image, tmp_path) == ""
    assert image.read_bytes() == before
    start = before.index(b"METALLIZE_SRC_IMG")  # a file's content stands in the data blocks, and says nothing
    blocks = bytearray(before)
    blocks[start : start + 4] = b"XXXX"
    image.write_bytes(blocks)
    assert filesystem_of(image, tmp_path) == ""
    described = run(("dumpe2fs", image)).stdout
    table = int(described.partition("Inode table at ")[2].partition("-")[0])
    size = int(described.partition("Block size:")[2].split()[0])
    blocks[table * size + 256 * 11 : table * size + 256 * 14] = bytes(256 * 3)  # three files' inodes are wiped
    image.write_bytes(blocks)
    assert filesystem_of(image, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.img"]


RUINED = {
    "ruined": {
        "run": ["systemctl stop ssh && rm /etc/ssh/sshd_config", "touch /root/ruined"],
        "assert": {"file": {"/root/ruined": {"exists": True}, "/etc/ssh/sshd_config": {"exists": False}}},
    },
    "panics": {"run": ["echo c >/proc/sysrq-trigger"]},
    "untouched": {
        "assert": {
            "file": {"/root/ruined": {"exists": False}, "/etc/ssh/sshd_config": {"exists": True}},
            "service": {"ssh": {"running": True}},
        }
    },
}


def verify_shipped(cli: Cli, build_dir: Path, folder: Path, name: str, **boot: Any) -> tuple[int, dict[str, Any]]:
    """A shipped profile's image, with something else asked of its boot."""
    shipped = ROOT / "profiles" / f"{name}.yaml"
    assert cli("build", shipped, "--build-dir", build_dir).status == 0
    content: dict[str, Any] = yaml.safe_load(shipped.read_text())
    content["boot"] = {**content["boot"], "ssh": {"user": "admin", "key": "ephemeral"}, **boot}
    profile = folder / f"{name}.yaml"
    profile.write_text(yaml.safe_dump(content))
    done = cli("verify", profile, "--build-dir", build_dir)
    record = json.loads((build_dir / f"{content['output']['file']}.verification.json").read_text())
    [report] = record["machines"]
    return done.status, report


@pytest.mark.nightly  # three machines, each put back again and again
@pytest.mark.docker
def test_groups_begin_with_the_guest_as_it_was_when_it_was_ready(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """On a CD, whose machine has no disk to hold the saved memory, over SSH with a key of this boot alone."""
    status, report = verify_shipped(
        cli,
        build_dir,
        tmp_path,
        "debian13-livecd",
        machines=["ovmf"],
        groups=RUINED,
        time={"units": {"ssh.service": 30}},
    )
    results = {result["title"]: result for result in report["results"]}
    assert status == 1  # one group panics, and that is all
    assert [title for title, result in results.items() if result["status"] == "failed"] == [
        "the guest goes on in group panics"
    ]
    unseen = [title for title, result in results.items() if result["status"] == "unseen"]
    assert all(title.endswith(" in group panics") for title in unseen), unseen
    assert "kernel-panic" in results["the guest goes on in group panics"]["claims"][0]["actual"]
    assert results["file /root/ruined in group ruined"]["status"] == "held"
    assert results["file /root/ruined in group untouched"]["status"] == "held"
    assert results["ssh login as admin"]["status"] == "held"
    assert 0 < results["time of ssh.service"]["seconds"] < 60
    [note] = [note for note in report["notes"] if "one snapshot" in note]
    assert note.startswith("3 groups from one snapshot")
    assert report["failure"] is None


@pytest.mark.docker
def test_a_disk_survives_a_power_cut(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """The old release's, which boots here every day."""
    status, report = verify_shipped(
        cli, build_dir, tmp_path, "debian12-ext4", machines=["seabios"], power_cut={"seed": 7, "moments": 6}
    )
    results = {result["title"]: result for result in report["results"]}
    assert status == 0, report["failure"]
    synced = results["what was synced is there after a power cut"]["claims"][0]
    assert int(synced["actual"]) >= int(synced["expected"].split()[2]) > 0
    assert results["another boot after a power cut"]["status"] == "held"
    assert results["the same machine after a power cut"]["status"] == "held"
    checked = results["filesystems are whole after a power cut"]
    assert (checked["status"], checked["observed"]) == ("held", "e2fsck on the host")
    assert [claim["attribute"].split()[0] for claim in checked["claims"]] == ["partition"]
    moments = results["filesystems are whole at 6 moments after a power cut"]
    assert moments["status"] == "held"
    assert moments["claims"][0]["actual"] == "whole at all 6"
    assert results["service ssh after a power cut"]["status"] == "held"
    assert any("power_cut: {seed: 7}" in note for note in report["notes"])
    folder = Path(report["run_folder"])
    assert "login:" in (folder / "after-the-power-cut" / "console.txt").read_text()


@pytest.mark.docker
@pytest.mark.nightly
def test_a_disk_comes_up_from_moments_of_its_first_boot(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """With what no flush had made sure of lost or torn, while its root grew and its host keys were made."""
    status, report = verify_shipped(
        cli, build_dir, tmp_path, "debian13-ext4", machines=["seabios"],
        power_cut={"seed": 7, "moments": 60, "boots": 3},
    )  # fmt: skip
    results = {result["title"]: result for result in report["results"]}
    assert status == 0, report["failure"]
    for number in (1, 2, 3):
        assert results[f"ssh login as admin at moment {number}"]["status"] == "held"
        assert results[f"command root has grown to the disk at moment {number}"]["status"] == "held"
        assert any(note.startswith(f"at moment {number}: the disk after write ") for note in report["notes"])
        assert "login:" in (Path(report["run_folder"]) / f"moment-{number}" / "console.txt").read_text()


@pytest.mark.docker
@pytest.mark.nightly
def test_a_disk_without_barriers_does_not_survive_every_moment(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """As of a mount that gives barriers up: nothing is flushed, and what came to the disk came in any order."""
    profile = tmp_path / "no-barriers.yaml"
    profile.write_text(
        "extends: debian13-ext4\n"
        "output: {file: no-barriers.img, kernel_boot_params: 'console=ttyS0,115200 rootflags=nobarrier'}\n"
        "boot: {machines: [seabios], power_cut: {seed: 7, moments: 60}}\n"
    )
    done = cli("build", profile, "--verify", "--build-dir", build_dir)
    assert done.status == 1
    [path] = (build_dir / "runs").glob("**/no-barriers*/**/report.json")
    results = {each["title"]: each["status"] for each in json.loads(path.read_text())["results"]}
    assert results["filesystems are whole at 60 moments after a power cut"] == "failed"
