"""A bare-metal server: its kernel, CPUs, memory and network are read back from the running guest, on BIOS and UEFI."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metallize.build.currency import known_images
from metallize.build.engines.docker import DockerEngine
from metallize.build.steps import steps_of
from metallize.catalog import Catalog
from metallize.command import run
from metallize.config import load_profile
from metallize.pipeline import Options, plan_of
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]

OWN = Path(__file__).parent / "server"
LIMIT = timedelta(minutes=5)

REPACK = """
cd /tmp
apt-get update
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
apt-get download "$name"
dpkg-deb --raw-extract ./*.deb own
sed -i -E 's/^Package:.*/Package: linux-image-own/; s/^Version:.*/Version: 1.0-mine/' own/DEBIAN/control
sed -i -E '/^(Conflicts|Replaces|Source):/d' own/DEBIAN/control
dpkg-deb --root-owner-group -Zgzip -z1 --build own /out/linux-image-own.deb
chmod 644 /out/linux-image-own.deb
"""
"""A kernel that no archive has under this name: the one for cloud VMs, repacked as somebody's own."""


def results(report: dict[str, Any]) -> dict[str, Any]:
    return {result["title"]: result for result in report["results"]}


@pytest.mark.nightly
def test_every_tuning_is_read_back_and_a_cut_leg_keeps_ssh_alive(cli: Cli, build_dir: Path) -> None:
    done = cli("build", ROOT / "profiles" / "debian13-server.yaml", "--verify", "--build-dir", build_dir)
    assert done.status == 0
    record = json.loads((build_dir / "debian13-server.img.verification.json").read_text())
    assert record["verdict"] == "passed"
    assert [machine["machine"] for machine in record["machines"]] == ["ovmf", "seabios"]
    for report in record["machines"]:
        held = {title for title, result in results(report).items() if result["status"] == "held"}
        assert held >= {
            "file /proc/cmdline",
            "hugepages are set aside",
            "file /sys/devices/system/cpu/isolated",
            "kernel-param net.core.rmem_max",
            "command rings of the data card",
            "command queues are as many as there can be",
            "command offloads of the data card",
            "command received packets are handled by CPU 0",
            "command interrupts of the cards go to CPU 0",
            "interface bond0.100",
            "command another host reaches the VLAN",
            "ssh login as admin after: the first leg is cut",
            "file /proc/net/bonding/bond0 after: the first leg is cut",
            "command another host reaches the VLAN still after: the first leg is cut",
            "ssh login as admin after: the other leg is cut instead",
            "file /proc/net/bonding/bond0 after: the other leg is cut instead",
        }


def debian_disk(profile: Path) -> str:
    """The id of the image of the profile's first layer."""
    catalog = Catalog()
    plan = plan_of(load_profile(profile, vocabulary=catalog.vocabulary()), catalog, Options())
    assert plan.rootfs.layers[0].name == "debian-disk.dockerfile"
    return known_images(steps_of(plan), DockerEngine())["layer_1"]


def test_ones_own_kernel_is_booted_and_a_tuning_that_is_lost_is_named(cli: Cli, tmp_path: Path) -> None:
    """The .deb lies beside the profile; a file of the image takes back what the profile's sysctl asks for."""
    shutil.copytree(OWN, tmp_path, dirs_exist_ok=True)
    lacking = cli("build", "own-kernel.yaml", cwd=tmp_path)
    assert lacking.status == 3
    assert "kernel.dockerfile" in lacking.stderr
    assert "*.deb" in lacking.stderr
    debian = debian_disk(tmp_path / "own-kernel.yaml")
    run(["docker", "run", "--rm", "--volume", f"{tmp_path}:/out", debian, "sh", "-euc", REPACK], timeout=LIMIT)

    done = cli("build", "own-kernel.yaml", "--verify", cwd=tmp_path)
    assert done.status == 1
    assert not (tmp_path / "build" / "own-kernel.img").exists()
    # The last one: emulated CPUs that ran out of step are given another boot.
    path = max((tmp_path / "build" / "runs").rglob("report.json"))
    found = results(json.loads(path.read_text()))
    assert {title for title, result in found.items() if result["status"] == "held"} >= {
        "package linux-image-own",
        "command the kernel that runs is the one of the package",
        "command there is no other",
        "command CPU 1 works for both cards",
        "interface bond0.7",
        "kernel-param vm.nr_hugepages",
        "kernel-param net.ipv4.tcp_rmem",
    }
    assert [title for title, result in found.items() if result["status"] not in ("held", "skipped")] == [
        "kernel-param net.core.somaxconn"
    ]
    [claim] = [claim for claim in found["kernel-param net.core.somaxconn"]["claims"] if not claim["holds"]]
    assert "8192" in claim["expected"]
    assert "64" in claim["actual"]
    assert "net.core.somaxconn" in done.stderr
    assert "8192" in done.stderr


@pytest.mark.parametrize(
    ("args", "debs", "said"),
    [
        ("{kernel_package: linux-image-amd64}", (), "there is a kernel already"),
        ("{kernel_package: none}", (), "no .deb in /var/tmp/kernel: a layer below must copy them there"),
        ("{kernel_package: none}", ("broken.deb",), "broken.deb is no Debian package"),
    ],
)
def test_what_is_wrong_with_ones_own_kernel_fails_the_build(
    args: str, debs: tuple[str, ...], said: str, cli: Cli, tmp_path: Path
) -> None:
    images = ["debian:trixie", "debian-disk.dockerfile", "kernel-debs.dockerfile"]
    if debs:
        shutil.copy(OWN / "kernel.dockerfile", tmp_path)
        images.insert(2, "kernel.dockerfile")
    for name in debs:
        (tmp_path / name).write_text("no package\n")
    (tmp_path / "own.yaml").write_text(
        f"platform: linux/amd64\nargs: {args}\nimages: [{', '.join(images)}]\n"
        "output: {generator: ext4, file: own.img}\n"
    )
    done = cli("build", "own.yaml", cwd=tmp_path)
    assert done.status == 3
    assert said in done.stderr
