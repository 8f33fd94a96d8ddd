"""The network boot profile: built, booted from an empty machine, and its failures named."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metallize.errors import ExitCode
from metallize.events import Silent
from metallize.files.image_format import format_of
from metallize.host import accelerator
from metallize.machines import seabios
from metallize.model.boot import Boot, Media
from metallize.model.report import Stage, StageTime, Verdict
from metallize.verify import VerifyRequest, verify_machine
from metallize.verify.course import Course
from metallize.verify.prepared import prepared_boot
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]
PROFILE = ROOT / "profiles" / "debian13-netboot.yaml"
FETCHED_LATE = ["vmlinuz", "initrd.img", "filesystem.squashfs"]
DECISION_SECONDS = 10.0
"""From the decisive line to the verdict."""


@pytest.fixture(scope="module")
def image(cli: Cli, build_dir: Path) -> Path:
    done = cli("build", PROFILE, "--build-dir", build_dir)
    assert done.status == 0
    return build_dir / "debian13-netboot.tar"


def request_for(image: Path) -> VerifyRequest:
    return VerifyRequest(
        image=image,
        image_format=format_of(image),
        boot=Boot(memory=1 << 30),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=image.parent / "runs",
    )


def without(image: Path, name: str, folder: Path) -> Path:
    """A copy of the archive that lacks a file."""
    changed = folder / "net.tar"
    with tarfile.open(image) as source, tarfile.open(changed, "w", format=tarfile.USTAR_FORMAT) as target:
        for member in source:
            if member.name != name:
                target.addfile(member, source.extractfile(member))
    return changed


# What UEFI does of it is booted every day in test_network_boot.py, in an image of a few MiB.
@pytest.mark.parametrize("firmware", ["seabios", pytest.param("ovmf", marks=pytest.mark.nightly)])
def test_an_empty_machine_boots(firmware: str, cli: Cli, build_dir: Path) -> None:
    done = cli("build", PROFILE, "--verify", "--machine", firmware, "--build-dir", build_dir)
    assert done.status == 0
    record = json.loads(Path(f"{done.stdout.splitlines()[-1]}.verification.json").read_text())
    [machine] = [each for each in record["machines"] if each["machine"] == firmware]
    assert (machine["verdict"], machine["media"]) == ("passed", Media.NETWORK)
    [folder] = (build_dir / "runs/debian13-netboot" / firmware).iterdir()
    lines = (folder / "fetched.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines] == FETCHED_LATE
    assert "-drive\nif=none" not in (folder / "argv.txt").read_text()
    assert any("filesystem.squashfs over HTTP" in note for note in machine["notes"])
    if record["verdict"] == "incomplete":
        refused = cli("publish", PROFILE, "--build-dir", build_dir, "--to", build_dir / "to")
        assert refused.status == ExitCode.FAILED_VERIFICATION
        assert f"was verified on {firmware} only, and is not yet verified on" in refused.stderr


def test_a_missing_squashfs_is_named(image: Path, tmp_path: Path) -> None:
    report = verify_machine(request_for(without(image, "filesystem.squashfs", tmp_path)), Silent())
    assert report.verdict is Verdict.FAILED
    assert report.failure is not None
    assert report.failure.stage == Stage.INITRD
    assert "could not fetch the root filesystem: " in report.failure.cause
    assert "no such file: filesystem.squashfs" in report.failure.cause
    assert report.seconds - report.failure.seconds < DECISION_SECONDS
    assert any("filesystem.squashfs over HTTP: no such file" in note for note in report.notes)


def test_a_missing_kernel_is_named(image: Path, tmp_path: Path) -> None:
    report = verify_machine(request_for(without(image, "vmlinuz", tmp_path)), Silent())
    assert report.failure is not None
    assert report.failure.stage == Stage.LOADER
    assert "/vmlinuz... " in report.failure.cause


@pytest.mark.nightly
def test_a_bios_that_is_not_ipxe_boots_by_grub(image: Path, tmp_path: Path) -> None:
    changed = tmp_path / "net.tar"
    with tarfile.open(image) as source, tarfile.open(changed, "w", format=tarfile.USTAR_FORMAT) as target:
        for member in source:
            if member.name != "boot.ipxe":
                content = source.extractfile(member)
                member.name = {"boot.pxe": "boot.ipxe"}.get(member.name, member.name)
                target.addfile(member, content)
    report = verify_machine(request_for(changed), Silent())
    assert report.verdict is Verdict.PASSED, report.failure


def test_a_server_that_has_stopped_is_named(image: Path, tmp_path: Path) -> None:
    request = request_for(Path(shutil.copyfile(image, tmp_path / "net.tar")))
    use = accelerator.choose(request.machine, request.accel)
    stop: list[Callable[[], None]] = []

    def on_stage(reached: StageTime) -> None:
        if reached.stage is Stage.KERNEL:
            stop[0]()

    with prepared_boot(request, use, on_stage=on_stage) as boot:
        assert boot.plan.web is not None
        stop.append(boot.plan.web.stop)
        course = Course(boot=boot)
        with boot.switched_on() as guest:
            begun = time.monotonic()
            course.first_boot(guest)
            took = time.monotonic() - begun
            report = course.with_evidence(course.report())
    assert report.failure is not None
    assert report.failure.stage == Stage.INITRD
    assert "could not fetch the root filesystem: " in report.failure.cause
    assert "Connection reset" in report.failure.cause  # by whoever leads a closed network to the server
    assert took - report.failure.seconds < DECISION_SECONDS
