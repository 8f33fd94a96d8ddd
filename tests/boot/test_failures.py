"""Images that do not work: exit 1, the cause named, and nothing in the build folder.

Every day the same is seen of a tuning that is lost (test_server.py), of the sabotage set, and of guests of one sector.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.command import Finished
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
BROKEN = Path(__file__).parent / "broken"


def profile_text(**changes: Any) -> dict[str, Any]:
    """A disk with everything but a large kernel, with some of its keys replaced."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / "debian13-ext4.yaml").read_text())
    content["args"] = {"kernel_package": "linux-image-cloud-amd64"}
    content["boot"]["machines"] = ["seabios"]
    content["boot"].pop("suites")
    content["boot"].pop("assert")
    for key, value in changes.items():
        if isinstance(value, dict):
            content[key] = {**content[key], **value}
        else:
            content[key] = value
    return content


def build(cli: Cli, folder: Path, content: dict[str, Any]) -> Finished:
    for dockerfile in BROKEN.glob("*.dockerfile"):
        (folder / dockerfile.name).write_text(dockerfile.read_text())
    (folder / "broken.yaml").write_text(yaml.safe_dump(content))
    return cli("build", "broken.yaml", "--verify", cwd=folder)


def nothing_published(folder: Path) -> None:
    shown = [path.name for path in (folder / "build").iterdir() if not path.name.startswith(".")]
    assert shown == ["runs"]
    reports = sorted((folder / "build" / "runs").rglob("report.json"))  # two where the emulated CPUs ran out of step
    assert reports
    assert {json.loads(report.read_text())["verdict"] for report in reports} == {"failed"}


def with_layer(name: str) -> list[str]:
    images: list[str] = yaml.safe_load((ROOT / "profiles" / "debian13-ext4.yaml").read_text())["images"]
    return [*images, name]


def test_a_wrong_password_is_named(cli: Cli, tmp_path: Path) -> None:
    login = {"login": {"user": "admin", "password": "guess"}, "ssh": None}
    content = profile_text(images=with_layer("other-password.dockerfile"), boot=login)
    content["boot"].pop("ssh")
    done = build(cli, tmp_path, content)
    assert done.status == 1
    assert "login" in done.stderr.lower()
    assert "admin" in done.stderr
    assert "refused" in done.stderr or "Login incorrect" in done.stderr
    nothing_published(tmp_path)


def test_ssh_that_is_off_is_explained(cli: Cli, tmp_path: Path) -> None:
    done = build(cli, tmp_path, profile_text(images=with_layer("no-ssh.dockerfile")))
    assert done.status == 1
    assert "masked" in done.stderr
    assert "ssh" in done.stderr
    nothing_published(tmp_path)


def test_a_failed_unit_is_named(cli: Cli, tmp_path: Path) -> None:
    done = build(cli, tmp_path, profile_text(images=with_layer("failing-unit.dockerfile")))
    assert done.status == 1
    assert "milk.service" in done.stderr
    nothing_published(tmp_path)


def test_a_kernel_panic_is_named_with_its_stage(cli: Cli, tmp_path: Path) -> None:
    params = "console=tty0 console=ttyS0,115200 init=/bin/true"
    done = build(cli, tmp_path, profile_text(output={"kernel_boot_params": params}))
    assert done.status == 1
    assert "panic" in done.stderr.lower()
    nothing_published(tmp_path)


def test_a_failed_assertion_says_expected_and_actual(cli: Cli, tmp_path: Path) -> None:
    content = profile_text(boot={"assert": {"file": {"/etc/hostname": {"exists": True, "contents": ["elsewhere"]}}}})
    done = build(cli, tmp_path, content)
    assert done.status == 1
    assert "elsewhere" in done.stderr
    assert "broken" in done.stderr
    nothing_published(tmp_path)
