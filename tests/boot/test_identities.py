"""Two guests of one image: whatever two machines must not share was made on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
PROFILE = ROOT / "tests" / "boot" / "identities" / "identities.yaml"
SAME = ("the key is", "only its group", "the name server takes", "the initrd holds")
"""How assertions begin that are about the identity, and not the identity itself."""


def identities(machine: dict[str, Any]) -> dict[str, str]:
    """What the guest showed of each identity."""
    found = {}
    for result in machine["results"]:
        kind, _, name = result["title"].partition(" ")
        if kind == "command" and not name.startswith(SAME):
            [shown] = [claim["actual"] for claim in result["claims"] if claim["attribute"] == "stdout"]
            found[name] = shown
    return found


def test_two_guests_of_one_image_share_no_identity(cli: Cli, build_dir: Path) -> None:
    done = cli("build", PROFILE, "--verify", "--build-dir", build_dir)
    assert done.status == 0, done.stderr
    machines = json.loads((build_dir / "identities.qcow2.verification.json").read_text())["machines"]
    one, two = (identities(machine) for machine in machines)
    asked = yaml.safe_load(PROFILE.read_text())["boot"]["assert"]["command"]
    wanted = {name for name in asked if not name.startswith(SAME)}
    assert wanted <= set(one)
    assert wanted <= set(two)
    assert {name for name in wanted if one[name] == two[name]} == set()
    assert one["machine-id"] == one["dbus"]
    assert "made-in-the-build" not in json.dumps(machines)
