"""A disk of two systems: booted as it is shipped, and updated to the release after it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]

NAME = "debian13-ab"
LIMIT = timedelta(minutes=90)
"""Of a dozen boots, on a host of two cores that others keep busy."""
FIRMWARE = pytest.mark.parametrize("machine", ["seabios", "ovmf"])


def written(folder: Path, version: str, **boot: object) -> Path:
    """The shipped profile as that of another release, of one name with the others: what is kept stays theirs."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / f"{NAME}.yaml").read_text())
    content["output"]["version"] = version
    release = content["boot"]["assert"]["file"]["/usr/lib/os-release"]
    release["contents"] = [f'IMAGE_ID="{NAME}"', f'IMAGE_VERSION="{version}"']
    content["boot"] |= {"reboot": False, **boot}
    folder.mkdir()
    profile = folder / f"{NAME}.yaml"
    profile.write_text(yaml.safe_dump(content, sort_keys=False))
    return profile


def require_manifest(build_dir: Path, version: str) -> None:
    """The image is told with its version, its parts and what PCR 11 will be."""
    manifest = json.loads((build_dir / f"{NAME}.img.manifest.json").read_text())
    assert manifest["release"] == {"name": NAME, "version": version}
    assert [part["suffix"].rpartition(".")[2] for part in manifest["parts"]] == ["root", "verity", "grub", "efi"]
    assert [each["phases"] for each in manifest["pcr11"]["values"]] == [[], ["sysinit"], ["sysinit", "ready"]]


def results(build_dir: Path) -> dict[str, str]:
    """What became of each entry of the last verification, by its title."""
    [machine] = json.loads((build_dir / f"{NAME}.img.verification.json").read_text())["machines"]
    return {each["title"]: each["status"] for each in machine["results"]}


@pytest.mark.nightly  # by day the one below boots it, and the release after it
def test_a_system_in_a_slot_is_verified_read_only_and_kept_once_it_has_come_up(
    cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    profile = written(tmp_path / "1", "1", machines=["ovmf"], tpm=True)
    done = cli("build", profile, "--verify", "--build-dir", build_dir / "ab-1")
    assert done.status == 0, done.stderr
    titles = results(build_dir / "ab-1")
    assert titles["command the system has come up, and is kept"] == "held"
    assert titles["PCR 11 is what the manifest predicts"] == "held"
    require_manifest(build_dir / "ab-1", "1")
    update = {"from": str(build_dir / "ab-1" / f"{NAME}.img"), "engine": "sysupdate"}
    asking = written(tmp_path / "1-updated", "1", machines=["ovmf"], tpm=True, update=update)
    refused = cli("publish", asking, "--to", tmp_path / "out", "--channel", "stable", "--build-dir", build_dir / "ab-1")
    assert refused.status == 1, "its own boot holds, and nobody has seen the update"
    assert "has changed since it was verified" in refused.stderr
    assert "update" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_an_update_is_proven_with_a_power_cut_and_a_release_that_does_not_come_up(
    cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    """What a night does of everything on both machines, once: six boots that come up and three that do not."""
    old = written(tmp_path / "1", "1", machines=["ovmf"], tpm=True)
    assert cli("build", old, "--build-dir", build_dir / "ab-1").status == 0
    update: dict[str, Any] = {
        "from": str(build_dir / "ab-1" / f"{NAME}.img"),
        "engine": "sysupdate",
        "keep": ["/etc/ssh", "/srv"],
        "broken": ["kernel"],
        "power_cuts": {"boots": 1, "moments": 4, "seed": 7},
    }
    new = written(tmp_path / "2", "2", machines=["ovmf"], tpm=True, update=update, internet=False, suites=["base"])
    folder = build_dir / "ab-2-by-day"
    done = cli("build", new, "--verify", "--build-dir", folder, limit=LIMIT)
    assert done.status == 0, done.stderr
    require_manifest(folder, "2")
    titles = results(folder)
    for held in (
        "PCR 11 is what the manifest predicts",
        "command the system has come up, and is kept",
        "command the system has come up, and is kept after the update",
        "the version is that of this image after the update",
        "it is tried 3 times: a release with a broken kernel",
        "the version before is back: a release with a broken kernel",
        "the guest says which version failed: a release with a broken kernel",
        "what would be started is whole at every moment of it after the update",
        "the ESP's filesystem is whole at every moment of it, or mended after the update",
        "the version is that of this image when the power went at moment 1 of the update",
    ):
        assert titles[held] == "held"


@pytest.mark.nightly  # six boots that come up for each, and twelve that do not
@FIRMWARE
def test_a_machine_comes_back_of_broken_releases_and_is_updated_to_the_next(
    machine: str, cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    old = written(tmp_path / "1", "1", machines=[machine])
    assert cli("build", old, "--build-dir", build_dir / "ab-1").status == 0
    update = {
        "from": str(build_dir / "ab-1" / f"{NAME}.img"),
        "engine": "sysupdate",
        "keep": ["/etc/ssh", "/srv"],
        "broken": ["kernel", "init", "service", "root"],
        "tamper": ["downgrade", "index"],
    }
    new = written(tmp_path / "2", "2", machines=[machine], update=update)
    done = cli("build", new, "--verify", "--build-dir", build_dir / f"ab-2-{machine}", limit=LIMIT)
    assert done.status == 0, done.stderr
    titles = results(build_dir / f"ab-2-{machine}")
    assert titles["the version is that of this image after the update"] == "held"
    assert titles["command the system has come up, and is kept after the update"] == "held"
    assert titles["a release with a lower version is not installed after the update"] == "held"
    tampered = "a release that was tampered with"
    assert titles[f"an index that was changed after it was signed is refused: {tampered}"] == "held"
    assert titles[f"a file that is not what the index says is refused: {tampered}"] == "held"
    for kind in ("kernel", "init", "service", "root"):
        assert titles[f"it is tried 3 times: a release with a broken {kind}"] == "held"
        assert titles[f"the guest says which version failed: a release with a broken {kind}"] == "held"


@pytest.mark.nightly  # two systems' boots, and one of the updated machine
def test_a_machine_takes_nothing_that_was_tampered_with(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    old = written(tmp_path / "1", "1", machines=["ovmf"])
    assert cli("build", old, "--build-dir", build_dir / "ab-1").status == 0
    update = {
        "from": str(build_dir / "ab-1" / f"{NAME}.img"),
        "engine": "sysupdate",
        "tamper": ["index", "downgrade"],
    }
    new = written(tmp_path / "2", "2", machines=["ovmf"], tpm=True, update=update, suites=["base"])
    content = yaml.safe_load(new.read_text())
    del content["boot"]["assert"]
    new.write_text(yaml.safe_dump(content, sort_keys=False))
    folder = build_dir / "ab-tampered"
    done = cli("build", new, "--verify", "--build-dir", folder)
    assert done.status == 0, done.stderr
    titles = results(folder)
    tampered = "a release that was tampered with"
    assert titles[f"an index that was changed after it was signed is refused: {tampered}"] == "held"
    assert titles[f"a file that is not what the index says is refused: {tampered}"] == "held"
    assert titles["the version is that of this image after the update"] == "held"
    assert titles["PCR 11 is what the manifest predicts after the update"] == "held"
    assert titles["a release with a lower version is not installed after the update"] == "held"


@pytest.mark.nightly  # two systems' boots, and four of disks that were cut off
@FIRMWARE
def test_a_machine_survives_a_power_cut_at_every_write_of_its_update(
    machine: str, cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    old = written(tmp_path / "1", "1", machines=[machine])
    assert cli("build", old, "--build-dir", build_dir / "ab-1").status == 0
    cuts = {"boots": 2, "moments": 60, "seed": 7}
    update = {"from": str(build_dir / "ab-1" / f"{NAME}.img"), "engine": "sysupdate", "power_cuts": cuts}
    new = written(tmp_path / "2", "2", machines=[machine], update=update, suites=["base"])
    content = yaml.safe_load(new.read_text())
    del content["boot"]["assert"]
    new.write_text(yaml.safe_dump(content, sort_keys=False))
    folder = build_dir / f"ab-cuts-{machine}"
    done = cli("build", new, "--verify", "--build-dir", folder, limit=LIMIT)
    assert done.status == 0, done.stderr
    titles = results(folder)
    assert titles["what would be started is whole at every moment of it after the update"] == "held"
    for number in (1, 2):
        cut = f"when the power went at moment {number} of the update"
        assert titles[f"the version is that of this image {cut}"] == "held"


@pytest.mark.nightly  # by day one boot of it, above
@FIRMWARE
def test_the_shipped_profile_comes_back_after_a_reboot(machine: str, cli: Cli, build_dir: Path) -> None:
    folder = build_dir / f"ab-{machine}"
    done = cli("build", ROOT / "profiles" / f"{NAME}.yaml", "--build-dir", folder)
    assert done.status == 0, done.stderr
    assert cli("verify", ROOT / "profiles" / f"{NAME}.yaml", "--build-dir", folder, "--machine", machine).status == 0
    assert results(folder)["the same machine after a reboot"] == "held"
