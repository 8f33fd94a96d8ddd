"""Images that others made: the right verdict, stage and cause, soon after what decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.boot.foreign import Foreign, foreign
from tests.conftest import Cli

pytestmark = [pytest.mark.boot, pytest.mark.nightly]
SECONDS_AFTER = 60.0
"""After what decided, on a host of normal speed."""
SETTLED = 2.0
"""After the line that decided there comes what explains it."""
STEPS = """\
- {expect: "Press ENTER to boot", send: "<enter>"}
- {expect: "/ login: $/", timeout: 300s}
"""


@pytest.fixture(scope="module")
def images() -> Foreign:
    return foreign()


def verify(cli: Cli, image: Path, folder: Path, *words: str | Path) -> dict[str, Any]:
    done = cli("verify", "--image", image, "--build-dir", folder, "--json", *words)
    [report] = [json.loads(line) for line in done.stdout.splitlines() if '"event": "report"' in line]
    assert (done.status == 0) == (report["verdict"] == "passed")
    return dict(report)


def failed(report: dict[str, Any]) -> tuple[str, str]:
    """Rule and stage of a failure that was told in time."""
    assert report["verdict"] == "failed", report
    failure, slowness = report["failure"], report["accelerator"]["slowness"]
    decided = min(failure["seconds"], *(stage["seconds"] for stage in report["stages"][-1:]))
    assert report["seconds"] - decided <= SECONDS_AFTER * slowness + SETTLED
    assert failure["remedy"]
    return failure["rule"], failure["stage"]


def test_userspace_begins_when_mkosis_initrd_has_handed_over(cli: Cli, images: Foreign, tmp_path: Path) -> None:
    report = verify(cli, images.mkosi, tmp_path, "--machine", "ovmf")
    assert report["verdict"] == "passed", report
    begun = {stage["stage"]: stage["seconds"] for stage in report["stages"]}
    [console] = tmp_path.rglob("console.txt")
    switched = [line for line in console.read_text().splitlines() if "Starting initrd-switch-root.service" in line]
    assert switched
    assert begun["initrd"] < float(switched[0][1:].split("]")[0]) <= begun["userspace"]


def test_mkosis_initrd_that_finds_no_root_is_told_as_the_initrds_failure(
    cli: Cli, images: Foreign, tmp_path: Path
) -> None:
    report = verify(cli, images.rootless, tmp_path, "--machine", "ovmf")
    rule, stage = failed(report)
    assert stage == "initrd"
    assert rule in {"initrd-sysroot", "emergency-mode", "device-timeout"}


def test_live_builds_menu_waits_for_somebody(cli: Cli, images: Foreign, tmp_path: Path) -> None:
    report = verify(cli, images.live, tmp_path, "--machine", "seabios")
    assert failed(report) == ("syslinux-menu-waits", "loader")
    assert "--steps" in report["failure"]["remedy"]


def test_live_builds_system_boots_when_its_menu_is_answered(cli: Cli, images: Foreign, tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text(STEPS)
    words = ("--steps", steps, "--require", "Reached target .*multi-user")
    report = verify(cli, images.live, tmp_path, "--machine", "seabios", *words)
    assert report["verdict"] == "passed", report


def test_grubs_rescue_cd_boots_nothing_that_is_there(cli: Cli, images: Foreign, tmp_path: Path) -> None:
    assert failed(verify(cli, images.rescue, tmp_path, "--machine", "seabios")) == ("grub-gave-up", "loader")


def test_a_test_of_the_memory_is_no_system(cli: Cli, images: Foreign, tmp_path: Path) -> None:
    assert failed(verify(cli, images.serial_memtest, tmp_path, "--machine", "seabios")) == ("memtest", "loader")
    silent = verify(cli, images.memtest, tmp_path, "--machine", "seabios", "--display")
    assert failed(silent) == ("bios-nothing-started", "firmware")
    assert "screenshot.png" in silent["failure"]["remedy"]
