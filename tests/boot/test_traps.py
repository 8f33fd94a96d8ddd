"""Every trap between a container's rootfs and an operating system, shown in a booted guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]


def test_each_trap_is_handled_in_a_booted_guest(cli: Cli, build_dir: Path) -> None:
    profile = ROOT / "tests" / "boot" / "traps" / "traps.yaml"
    done = cli("build", profile, "--verify", "--build-dir", build_dir)
    assert done.status == 0
    record = json.loads((build_dir / "traps.qcow2.verification.json").read_text())
    [report] = record["machines"]
    titles = " ".join(result["title"] for result in report["results"])
    for trap in ("machine-id", "host keys", "file capability", "setuid", "hard links", "extended", "locale"):
        assert trap in titles


def test_the_plan_says_which_instructions_an_os_does_not_see(cli: Cli) -> None:
    done = cli("plan", ROOT / "tests" / "boot" / "traps" / "traps.yaml")
    assert done.status == 0
    for word in ("ENV", "WORKDIR", "USER", "ENTRYPOINT"):
        assert f": {word} configures a container" in done.stdout
