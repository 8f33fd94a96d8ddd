"""Every way that a firmware can be handed an image, and Secure Boot that is really enforced.

CD on both firmwares, and a stick with the live CD, are booted with the shipped profiles (test_shipped.py).
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.events import Silent
from metallize.machines import ovmf_secureboot
from metallize.model.boot import Boot, MachineOverrides, Media
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport, Verdict
from metallize.verify import VerifyRequest, verify_machine
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]
SECURE_BOOT = "ovmf-secureboot"
SHIM, GRUB = b"UEFI shim", b"Free Software Foundation"
"""Texts in the .sbat section of a signed loader (shim's SBAT.md), below its signature as all of it."""


def built(cli: Cli, name: str, build_dir: Path) -> Path:
    """The image of a shipped profile; what another test has built is not built again."""
    done = cli("build", ROOT / "profiles" / f"{name}.yaml", "--build-dir", build_dir)
    assert done.status == 0
    return Path(done.stdout.strip().splitlines()[-1])


def reports(cli: Cli, image: Path, name: str, folder: Path, machines: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The shipped profile's image, verified on machines of our own that also have a seed: the report of each."""
    content = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text())
    content["boot"]["machines"] = machines
    content["boot"]["seed"] = {"user-data": {"hostname": "seeded"}}
    content["boot"]["assert"]["file"] = {"/dev/disk/by-label/cidata": {"exists": True}}
    profile = folder / f"{name}.yaml"
    profile.write_text(yaml.safe_dump(content))
    for suffix in ("", ".manifest.json"):
        os.link(f"{image}{suffix}", folder / f"{image.name}{suffix}")
    assert cli("verify", profile, "--build-dir", folder).status == 0
    record = json.loads((folder / f"{image.name}.verification.json").read_text())
    return {report["machine"]: report for report in record["machines"]}


def held(report: dict[str, Any]) -> set[str]:
    return {result["title"] for result in report["results"] if result["status"] == "held"}


@pytest.mark.nightly  # every day where the CD's loaders must be refused
def test_the_live_cd_boots_as_a_disk_and_with_secure_boot(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    image = built(cli, "debian13-livecd", build_dir)
    machines = {
        "bios-disk": {"machine": "seabios", "media": "disk"},
        "secure-cd": {"machine": SECURE_BOOT},
    }
    seen = reports(cli, image, "debian13-livecd", tmp_path, machines)
    assert [(name, report["media"]) for name, report in seen.items()] == [("bios-disk", "disk"), ("secure-cd", "cd")]
    assert "command Secure Boot is enforced" in held(seen["secure-cd"])
    assert "command Secure Boot is enforced" not in held(seen["bios-disk"])


@pytest.mark.nightly
@pytest.mark.parametrize("machine", [SECURE_BOOT, "seabios"])
def test_the_disk_boots_as_a_stick_and_finds_the_tpm(machine: str, cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    image = built(cli, "debian13-ext4", build_dir)
    wanted = {"stick": {"machine": machine, "media": "usb", "tpm": True}}
    report = reports(cli, image, "debian13-ext4", tmp_path, wanted)["stick"]
    assert report["media"] == "usb"
    titles = held(report)
    assert {"the kernel drives the TPM", "the TPM is of version 2", "file /dev/disk/by-label/cidata"} <= titles
    assert ("command Secure Boot is enforced" in titles) == (machine == SECURE_BOOT)


@pytest.mark.parametrize("loader", [SHIM, GRUB], ids=["shim", "grub"])
def test_a_loader_that_was_changed_is_refused(loader: bytes, cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """Firmware refuses a shim that is not as Microsoft signed it, and shim a GRUB that is not as Debian did."""
    image = tmp_path / "changed.iso"
    shutil.copyfile(built(cli, "debian13-livecd", build_dir), image)
    assert change(image, loader) > 0
    report = verify(image)
    assert report.verdict is Verdict.FAILED
    assert report.failure is not None
    assert (report.failure.rule, report.failure.stage) == ("secure-boot-refused", "firmware")
    assert "Secure Boot refused" in report.failure.cause


def change(image: Path, text: bytes) -> int:
    """Write a text in another way wherever an image has it; returns how often that was."""
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        count, place = 0, content.find(text)
        while place >= 0:
            content[place : place + len(text)] = text.swapcase()
            count, place = count + 1, content.find(text)
        return count


def verify(image: Path) -> BootReport:
    request = VerifyRequest(
        image=image,
        image_format=ImageFormat.ISO,
        boot=Boot(),
        assertions=(),
        machine_entry=SECURE_BOOT,
        machine=ovmf_secureboot.MACHINE,
        kinds={},
        runs_dir=image.parent / "runs",
        overrides=MachineOverrides(media=Media.CD),
    )
    return verify_machine(request, Silent())
