"""The images that are spoilt: a disk and a live CD, built once for a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Cli

LAYER = Path(__file__).with_name("sabotage.dockerfile")


@pytest.fixture(scope="session")
def disk(cli: Cli, build_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped Debian 13 disk, with a firewall and the small kernel, and without what only makes the boot longer."""
    folder = tmp_path_factory.mktemp("sabotage")
    profile = yaml.safe_load((ROOT / "profiles" / "debian13-ext4.yaml").read_text())
    shutil.copy(LAYER, folder)
    profile["args"] = {"kernel_package": "linux-image-cloud-amd64"}
    profile["images"].append(LAYER.name)
    profile["output"] |= {"file": "sabotage.img", "options": {"grow": False}}
    profile["output"]["kernel_boot_params"] += " systemd.gpt_auto=0"
    path = folder / "sabotage.yaml"
    path.write_text(yaml.safe_dump(profile))
    assert cli("build", path, "--build-dir", build_dir).status == 0
    return build_dir / "sabotage.img"


@pytest.fixture(scope="session")
def cd(cli: Cli, build_dir: Path) -> Path:
    assert cli("build", ROOT / "profiles" / "debian13-livecd.yaml", "--build-dir", build_dir).status == 0
    return build_dir / "debian13-livecd.iso"
