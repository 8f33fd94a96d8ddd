"""The Raspberry Pi's card: built with this host's own tools, checked, and booted from its own firmware partition."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]

PROFILE = ROOT / "profiles" / "rpi3-templogger.yaml"


def of_root(image: Path, command: str) -> str:
    """What debugfs says of the second partition's ext4."""
    with image.open("rb") as card:
        entry = card.read(512)[462:478]
    start = int.from_bytes(entry[8:12], "little") * 512
    done = subprocess.run(
        ["debugfs", "-R", command, f"{image}?offset={start}"], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_card_boots_logs_its_temperature_and_grows(cli: Cli, build_dir: Path) -> None:
    done = cli("build", PROFILE, "--verify", "--build-dir", build_dir)
    assert done.status == 0
    image = build_dir / "rpi3-templogger.img"
    record = json.loads((build_dir / f"{image.name}.verification.json").read_text())
    [machine] = record["machines"]
    assert (machine["machine"], record["verdict"]) == ("raspi3b", "passed")
    assert any("VideoCore" in note for note in machine["notes"])
    held = {result["title"] for result in machine["results"] if result["status"] == "held"}
    assert {"serial login as admin", "ssh login as admin"} <= held
    for folder in ("/usr/local/lib", "/usr/local/sbin", "/usr/lib", "/etc/apt/apt.conf.d", "/"):
        listed = of_root(image, f"ls -p {folder}")
        assert "metallize-native" not in listed, f"a native tool was left in {folder}"
        assert "x86_64" not in listed
        assert "lib64" not in listed


def test_a_wrong_kernel_in_config_fails_the_build(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile = tmp_path / "wrong.yaml"
    profile.write_text(
        "extends: rpi3-templogger\noutput: {file: wrong.img, options: {config: kernel=vmlinuz-of-yesterday}}\n"
    )
    done = cli("build", profile, "--build-dir", build_dir)
    assert done.status == 3
    assert "no vmlinuz-of-yesterday (config.txt names it as the kernel)" in done.stderr
    assert not (build_dir / "wrong.img").exists()
