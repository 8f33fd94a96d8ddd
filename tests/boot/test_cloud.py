"""The cloud VM: the shipped profile, and one stack with an app on it in every container format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metallize.command import run
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]

MIB = 1 << 20
FORMATS = ("raw", "vmdk", "vhdx")
APP = """\
extends: debian13-cloud
images: [templogger.dockerfile]
outputs:
  - {generator: ext4, file: app.vmdk}
  - {generator: ext4, file: app.raw}
  - {generator: ext4, file: app.vhdx}
boot:
  machines: [seabios]
  assert:
    service:
      templogger: {enabled: true, running: true}
    command:
      the app runs as its user, in its folder, with its variables:
        exec: >-
          pid=$(systemctl show --value -p MainPID templogger); ps -o user= -p $pid; sudo readlink /proc/$pid/cwd;
          sudo cat /proc/$pid/environ | tr '\\0' '\\n'
        exit-status: 0
        stdout: [templogger, /opt/templogger, TEMPLOGGER_SENSORS=/sys/class/thermal]
      the app's output is in the journal:
        exec: journalctl -u templogger -o cat --no-pager
        exit-status: 0
        stdout: ["/^(thermal_zone[0-9]+ [0-9.]+ C|no sensor in .*)$/"]
"""


def held(machine: dict[str, Any]) -> dict[str, bool]:
    return {result["title"]: result["status"] == "held" for result in machine["results"]}


def judge(machine: dict[str, Any], image: Path) -> set[str]:
    """What every cloud VM keeps: it was configured, takes no password, and is small. Returns what held."""
    titles = held(machine)
    assert all(titles.values())
    assert {"ssh login as ops", "reach tcp:22", "user ops", "file /etc/applied"} <= set(titles)
    [reach] = [result for result in machine["results"] if result["title"] == "reach tcp:22"]
    claims = {claim["attribute"]: claim["actual"] for claim in reach["claims"]}
    assert claims["password of ops"] == "refused"
    assert claims["logins that ops is offered"] == "publickey"
    run(["qemu-img", "check", image])
    packed = image.with_name("packed.qcow2")
    run(["qemu-img", "convert", "-c", "-O", "qcow2", image, packed])
    assert packed.stat().st_size < 400 * MIB
    return set(titles)


@pytest.mark.nightly  # every day with the app below on BIOS; the same disk's UEFI loader as debian13-ext4
@pytest.mark.parametrize(
    ("name", "firmware"), [("debian13-cloud", "seabios"), ("debian13-cloud", "ovmf"), ("debian13-cloud-arm64", "aavmf")]
)
def test_the_cloud_vm_is_small_configured_and_takes_no_password(
    name: str, firmware: str, cli: Cli, build_dir: Path
) -> None:
    profile = ROOT / "profiles" / f"{name}.yaml"
    done = cli("build", profile, "--verify", "--machine", firmware, "--build-dir", build_dir)
    assert done.status == 0, done.stderr
    image = Path(done.stdout.splitlines()[-1])  # kept aside until it has passed on both
    machines = json.loads(image.with_name(f"{image.name}.verification.json").read_text())["machines"]
    [machine] = [each for each in machines if each["machine"] == firmware]
    judge(machine, image)


@pytest.mark.nightly  # by day an untouched Dockerfile in test_init.py
def test_an_app_runs_on_it_unchanged(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile = tmp_path / "app.yaml"
    profile.write_text(APP)
    done = cli("build", profile, "--output", "app.vmdk", "--verify", "--build-dir", build_dir)
    assert done.status == 0, done.stderr
    [machine] = json.loads((build_dir / "app.vmdk.verification.json").read_text())["machines"]
    titles = judge(machine, build_dir / "app.vmdk")
    assert {"service templogger", "command the app's output is in the journal"} <= titles


@pytest.mark.nightly  # what they hold is compared every day for one that is small, in test_same_bytes.py
def test_every_format_holds_the_same_disk(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile = tmp_path / "app.yaml"
    profile.write_text(APP)
    for kind in FORMATS:
        assert cli("build", profile, "--output", f"app.{kind}", "--build-dir", build_dir).status == 0
    for kind in FORMATS:
        image = build_dir / f"app.{kind}"
        if kind != "raw":  # which has no structure of its own
            run(["qemu-img", "check", "-f", kind, image])
        run(["qemu-img", "compare", "-f", kind, "-F", "raw", image, build_dir / "app.raw"])
