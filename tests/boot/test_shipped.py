"""The shipped profiles, built and booted on each of their machines, as a user does it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]

SHIPPED = ("debian13-livecd", "debian13-ext4")
OLD = ("debian12-livecd", "debian12-ext4")
"""The disk boots every day in test_boot_flow.py, before and after a power cut."""


def verification(build_dir: Path, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((build_dir / f"{file}.verification.json").read_text())
    return content


@pytest.mark.parametrize("name", [*SHIPPED, *(pytest.param(each, marks=pytest.mark.nightly) for each in OLD)])
def test_profile_is_built_and_boots_on_bios_and_uefi(name: str, cli: Cli, build_dir: Path) -> None:
    done = cli("build", ROOT / "profiles" / f"{name}.yaml", "--verify", "--build-dir", build_dir)
    assert done.status == 0
    image = Path(done.stdout.strip().splitlines()[-1])
    assert image.is_file()
    record = verification(build_dir, image.name)
    manifest = json.loads((build_dir / f"{image.name}.manifest.json").read_text())
    assert record["verdict"] == "passed"
    assert record["sha256"] == manifest["sha256"]
    assert [machine["machine"] for machine in record["machines"]] == ["ovmf", "seabios"]
    for machine in record["machines"]:
        assert re.search(
            r"^ +[0-9.]+ +[0-9.]+  ssh\.service$", (Path(machine["run_folder"]) / "units.txt").read_text(), re.MULTILINE
        )
    assert {"systemd", "openssh-server"} <= {package["name"] for package in manifest["packages"]}


def test_nothing_changed_means_nothing_is_built_or_booted(cli: Cli, build_dir: Path) -> None:
    profile = ROOT / "profiles" / "debian13-livecd.yaml"
    assert cli("build", profile, "--verify", "--build-dir", build_dir).status == 0
    image = build_dir / "debian13-livecd.iso"
    before = image.stat()
    runs = sorted((build_dir / "runs").rglob("report.json"))
    again = cli("build", profile, "--verify", "--build-dir", build_dir)
    assert again.status == 0
    assert image.stat().st_mtime_ns == before.st_mtime_ns
    assert sorted((build_dir / "runs").rglob("report.json")) == runs
    assert "nothing has changed" in again.stderr
    told = json.loads(runs[-1].read_text())
    assert told["stages"][-1]["seconds"] < told["rest_seconds"] < told["seconds"]


@pytest.mark.nightly  # every day as a disk's stick, in test_firmware_matrix.py
@pytest.mark.parametrize("machine", ["seabios", "ovmf"])
def test_the_live_cd_boots_from_a_usb_stick(machine: str, cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    text = (ROOT / "profiles" / "debian13-livecd.yaml").read_text()
    changed = text.replace("  machines: [seabios, ovmf]\n", f"  machines: {{{machine}: {{media: usb}}}}\n")
    assert changed != text
    profile = tmp_path / "debian13-livecd.yaml"
    profile.write_text(changed)
    done = cli("build", profile, "--verify", "--build-dir", build_dir)
    assert done.status == 0
    [report] = verification(build_dir, "debian13-livecd.iso")["machines"]
    assert report["media"] == "usb"


@pytest.mark.nightly  # every day in the gate, as boot-tests/test_first_boot.py
def test_two_boots_of_one_image_are_two_machines(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """Host keys and machine-id are made on first boot: unlike between boots, and none is in the image."""
    suite = tmp_path / "identity.yaml"
    suite.write_text(
        "command:\n"
        "  identity:\n"
        "    exec: cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub\n"
        "    exit-status: 0\n"
        '    stdout: ["/^[0-9a-f]{32}$/", "/^ssh-ed25519 /"]\n'
    )
    assert cli("build", ROOT / "profiles" / "debian13-livecd.yaml", "--build-dir", build_dir).status == 0
    seen = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        image = build_dir / "debian13-livecd.iso"
        # the second time by root, with a key of that boot
        who = ("--user", "admin", "--password", "admin") if number == 1 else ()
        done = cli("verify", "--image", image, "--assert", suite, *who, "--build-dir", folder, "--json")
        assert done.status == 0
        [report] = [json.loads(line) for line in done.stdout.splitlines() if '"event": "report"' in line]
        [result] = [each for each in report["results"] if "identity" in each["title"]]
        seen.append({claim["attribute"]: claim["actual"] for claim in result["claims"]}["stdout"])
    assert seen[0] != seen[1]
    assert all("ssh-ed25519" in each for each in seen)
