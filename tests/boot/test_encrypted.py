"""/var of a disk of two systems, encrypted: unlocked by the TPM of the first boot, and by no other."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.boot.test_two_systems import NAME, results
from tests.boot.test_two_systems import written as written_profile
from tests.conftest import Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]

LIMIT = timedelta(minutes=90)
"""Of five boots, on a host of two cores that others keep busy."""
ENCRYPTED = "command /var is a LUKS2 volume whose one key is the TPM's"


def written(folder: Path, version: str, **boot: object) -> Path:
    """The shipped profile with /var encrypted, and what must be seen of that."""
    made = written_profile(folder, version, **{"tpm": True, "machines": ["ovmf"], "suites": ["base"], **boot})
    content: dict[str, Any] = yaml.safe_load(made.read_text())
    content["images"].append("debian-ab-tpm2.dockerfile")
    content["output"]["options"] = {"encrypt": "tpm2"}
    content["boot"]["internet"] = False
    content["boot"]["assert"]["mount"]["/var"]["source"] = "/dev/mapper/var"
    content["boot"]["assert"]["command"][ENCRYPTED.removeprefix("command ")] = {
        "exec": "cryptsetup status var && cryptsetup luksDump /dev/disk/by-partlabel/var",
        "exit-status": 0,
        "stdout": ["/type: +LUKS2/", "/0: systemd-tpm2/", "/tpm2-hash-pcrs: +7/", "/^  1: luks2/", "!/^  0: luks2/"],
    }
    made.write_text(yaml.safe_dump(content, sort_keys=False))
    return made


def test_the_tpm_unlocks_it_at_each_boot_and_another_one_does_not(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile, folder = written(tmp_path / "1", "1", reboot=True, tamper=["tpm"]), build_dir / "ab-encrypted-1"
    done = cli("build", profile, "--verify", "--build-dir", folder, limit=LIMIT)
    assert done.status == 0, done.stderr
    titles = results(folder)
    for held in (
        ENCRYPTED,
        f"{ENCRYPTED} after a reboot",
        "command /var has grown to the disk",
        "PCR 11 is what the manifest predicts",
        "the same machine after a reboot",
        "the disk stays locked in a machine with another TPM",
    ):
        assert titles[held] == "held"


def test_the_next_release_unlocks_what_was_kept(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    old = written(tmp_path / "1", "1")
    assert cli("build", old, "--build-dir", build_dir / "ab-encrypted-1").status == 0
    update = {"from": str(build_dir / "ab-encrypted-1" / f"{NAME}.img"), "engine": "sysupdate", "keep": ["/etc/ssh"]}
    folder = build_dir / "ab-encrypted-2"
    done = cli("build", written(tmp_path / "2", "2", update=update), "--verify", "--build-dir", folder, limit=LIMIT)
    assert done.status == 0, done.stderr
    assert results(folder)[f"{ENCRYPTED} after the update"] == "held"


def test_a_machine_without_a_tpm_is_told_as_one(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    folder = build_dir / "ab-encrypted-1"
    assert cli("build", written(tmp_path / "1", "1"), "--build-dir", folder).status == 0
    done = cli("verify", "--image", folder / f"{NAME}.img", "--machine", "ovmf", "--build-dir", tmp_path / "build")
    assert done.status == 1, done.stderr
    [told] = (tmp_path / "build" / "runs").glob("*/*/*/report.json")
    failure = json.loads(told.read_text())["failure"]
    assert failure["rule"] == "volume-locked"
    assert "has no TPM 2.0" in failure["cause"]
