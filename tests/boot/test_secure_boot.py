"""The disk of two systems, signed by a key of one's own: firmware that holds that key starts it, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.boot.test_two_systems import LIMIT, NAME, results
from tests.boot.test_two_systems import written as written_profile
from tests.conftest import Cli
from tests.signers import pair, written

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]

OWN = {"own": {"machine": "ovmf-secureboot", "keys": "mine.pem"}}


def profile(folder: Path, *, signer: str | None, version: str = "1", **boot: object) -> Path:
    """The shipped profile, signed by that key where there is one, on a machine that holds `mine` alone."""
    made = written_profile(folder, version, **{"machines": OWN, **boot})
    written(folder, "mine")
    if signer is not None:
        written(folder, signer)
        content: dict[str, Any] = yaml.safe_load(made.read_text())
        content["output"]["secure_boot"] = {"key": f"{signer}.key", "certificate": f"{signer}.pem"}
        made.write_text(yaml.safe_dump(content, sort_keys=False))
    return made


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{NAME}.img.manifest.json").read_text())
    return found


def part(image: Path, suffix: str) -> bytes:
    """A part of the image, as its manifest tells where it is."""
    [found] = [each for each in manifest(image.parent)["parts"] if each["suffix"].endswith(suffix)]
    with image.open("rb") as file:
        file.seek(found["offset"])
        content = file.read(found["size"])
    assert hashlib.sha256(content).hexdigest() == found["sha256"]
    return content


def test_what_a_key_of_ones_own_signed_boots_with_secure_boot_enforced(
    cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    mine, folder = profile(tmp_path / "1", signer="mine", tpm=True), build_dir / "signed"
    done = cli("build", mine, "--verify", "--check", "--build-dir", folder)
    assert done.status == 0, done.stderr
    assert results(folder)["command Secure Boot is enforced"] == "held"
    assert results(folder)["command the system has come up, and is kept"] == "held"
    assert results(folder)["PCR 11 is what the manifest predicts"] == "held"
    told = manifest(folder)
    files = {each["file"]: each for each in told["signed"]}
    kernel = files[f"/EFI/Linux/{NAME}_1.efi"]
    assert sorted(files) == ["/EFI/BOOT/BOOTX64.EFI", kernel["file"], "/EFI/systemd/systemd-bootx64.efi"]
    assert hashlib.sha256(part(folder / f"{NAME}.img", ".efi")).hexdigest() == kernel["signed"]["sha256"]
    assert kernel["signed"]["size"] > kernel["unsigned"]["size"]
    secret = [line.encode() for line in pair("mine")[0].splitlines() if "-----" not in line]
    papers = [each.read_bytes() for each in folder.glob(f"{NAME}.img.*")]
    assert not any(line in paper for line in secret for paper in papers)


def test_a_changed_image_is_refused_part_by_part(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    tampered = ["root", "verity", "uki", "unsigned-uki", "cmdline"]
    mine, folder = profile(tmp_path / "1", signer="mine", tamper=tampered), build_dir / "signed"
    done = cli("build", mine, "--verify", "--build-dir", folder)
    assert done.status == 0, done.stderr
    [machine] = json.loads((folder / f"{NAME}.img.verification.json").read_text())["machines"]
    told = {each["id"].partition("/")[2]: each for each in machine["results"] if each["id"].startswith("tamper/")}
    assert {name: each["status"] for name, each in told.items()} == dict.fromkeys(tampered, "held")
    assert all("corrupted" in told[name]["claims"][0]["actual"] for name in ("root", "verity"))
    assert all("secure-boot-refused" in told[name]["claims"][0]["actual"] for name in tampered[2:])


def test_firmware_in_setup_mode_takes_the_images_own_certificate_and_enforces_it(
    cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    setup = {"own": {"machine": "ovmf-secureboot", "setup_mode": True}}
    mine, folder = profile(tmp_path / "1", signer="mine", machines=setup, tamper=["uki"]), build_dir / "enrols"
    content = yaml.safe_load(mine.read_text())
    content["output"]["secure_boot"]["enroll"] = True
    mine.write_text(yaml.safe_dump(content, sort_keys=False))
    done = cli("build", mine, "--verify", "--build-dir", folder)
    assert done.status == 0, done.stderr
    titles = results(folder)
    assert titles["command Secure Boot is enforced"] == "held"
    assert titles["the firmware holds the image's certificate alone"] == "held"
    assert titles["a changed kernel image is refused"] == "held", "on a machine that has just enrolled it"
    [console] = (folder / "runs").glob("*/own/*/console.log")
    assert b"successfully enrolled" in console.read_bytes()


def test_all_that_can_be_asked_of_a_release_is_proven_in_one_go(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    """Boot, update, power cuts, broken releases and what was tampered with, on a machine that asks for signatures."""
    old = profile(tmp_path / "1", signer="mine", tpm=True)
    assert cli("build", old, "--build-dir", build_dir / "signed").status == 0
    update = {
        "from": str(build_dir / "signed" / f"{NAME}.img"),
        "engine": "sysupdate",
        "keep": ["/etc/ssh", "/srv"],
        "broken": ["kernel", "init", "service"],
        "tamper": ["index", "downgrade"],
        "power_cuts": {"boots": 3, "moments": 100, "seed": 7},
    }
    tampered = ["root", "verity", "uki", "unsigned-uki", "cmdline"]
    new = profile(tmp_path / "2", signer="mine", version="2", tpm=True, update=update, tamper=tampered)
    folder = build_dir / "signed-2"
    done = cli("build", new, "--verify", "--build-dir", folder, limit=LIMIT)
    assert done.status == 0, done.stderr
    titles = results(folder)
    assert set(titles.values()) == {"held"}
    for kind in ("kernel", "init", "service"):
        assert f"it is tried 3 times: a release with a broken {kind}" in titles
    for number in (1, 2, 3):
        assert f"the version is that of this image when the power went at moment {number} of the update" in titles


@pytest.mark.parametrize("signer", [None, "yours"])
def test_what_another_key_or_nobody_signed_is_refused_by_the_firmware(
    signer: str | None, cli: Cli, build_dir: Path, tmp_path: Path
) -> None:
    other = profile(tmp_path / "1", signer=signer)
    folder = build_dir / f"signed-by-{signer}"
    done = cli("build", other, "--verify", "--build-dir", folder)
    assert done.status == 1, done.stderr
    [told] = (folder / "runs").glob("*/own/*/report.json")
    failure = json.loads(told.read_text())["failure"]
    assert failure["rule"] == "secure-boot-refused"
    assert "Secure Boot refused" in failure["cause"]
    assert not (folder / f"{NAME}.img").exists()
