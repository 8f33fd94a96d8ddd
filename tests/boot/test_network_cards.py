"""Several network cards, the cables of which are pulled, and a seed for cloud-init: one image, one guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]


@pytest.mark.nightly
def test_a_bond_outlives_either_leg_and_the_seed_is_there(cli: Cli, tmp_path: Path) -> None:
    done = cli("build", ROOT / "tests/boot/cards/cards.yaml", "--verify", "--build-dir", tmp_path)
    assert done.status == 0
    [report] = json.loads((tmp_path / "cards.img.verification.json").read_text())["machines"]
    held = [result["title"] for result in report["results"] if result["status"] == "held"]
    for action in ("the first leg is cut", "the other leg is cut instead"):
        assert f"ssh login as admin after: {action}" in held
        assert f"command cat /proc/net/bonding/bond0 after: {action}" in held
    [folder] = (tmp_path / "runs" / "cards" / "seabios").iterdir()
    links = [line for line in (folder / "qmp.log").read_text().splitlines() if '"set_link"' in line]
    assert len(links) == 3 + 4, "three as the profile says, and then all four cables are put back"
    assert not (folder / "seed.iso").exists(), "it may hold secrets, and the folder is shown to others"
    assert "SEED=FOLDER" in (folder / "repro.sh").read_text()
