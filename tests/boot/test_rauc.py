"""A disk that others made: RAUC updates its two slots, and metallize has no part in it but to prove or refute that."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metallize import planning
from metallize.build.base import bases
from metallize.build.engines.buildkit import ENVIRONMENT, find_cli
from metallize.build.engines.docker import DockerEngine
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog
from metallize.command import run
from metallize.events import Silent
from metallize.model.profile import Platform
from tests.conftest import Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
FOLDER = Path(__file__).with_name("rauc")
LIMIT = timedelta(minutes=90)
"""Of three boots, on a host of two cores that others keep busy."""
SUITE = """\
mount: {/: {exists: true, filesystem: ext4, opts: [ro]}, /etc: {exists: true, filesystem: overlay}}
command:
  the slot that has come up is kept:
    exec: |
      for second in $(seq 60); do
        systemctl --quiet is-active rauc-mark-good.service && break
        sleep 1
      done
      slot=$(sed 's/.*rauc[.]slot=\\([AB]\\).*/\\1/' /proc/cmdline)
      grub-editenv /boot/efi/EFI/BOOT/grubenv list | grep -x -e "${slot}_OK=1" -e "${slot}_TRY=0"
    exit-status: 0
    stdout: ["/^[AB]_OK=1$/", "/^[AB]_TRY=0$/"]
    timeout: 90000
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the disks of both versions, and a folder for each bundle."""
    wanted = BaseImage(reference="debian:trixie", platform=Platform.AMD64)
    base = bases.resolve(DockerEngine(), planning.base_of(wanted, Catalog()), Silent())
    folder = tmp_path_factory.mktemp("rauc")
    given = f"BASE={base.image.reference}"
    argv: list[str | Path] = [find_cli().path, "build", "-q", "--build-arg", given, "--output", folder, FOLDER]
    run(argv, env=ENVIRONMENT)
    return folder


def updated(cli: Cli, made: Path, folder: Path, bundle: str) -> dict[str, dict[str, Any]]:
    """What became of each entry, by its title, when version 1 was updated by a bundle and version 2 is the image."""
    suite, update = folder / "suite.yaml", folder / "update.yaml"
    suite.write_text(SUITE)
    asked = {"from": str(made / "rauc-1.qcow2"), "engine": "rauc", "files": str(made / bundle), "keep": ["/etc/ssh"]}
    update.write_text(json.dumps(asked))
    done = cli(
        "verify", made / "rauc-2.qcow2", "--build-dir", folder, "--machine", "ovmf", "--user", "root",
        "--password", "secret", "--assert", suite, "--update", update, "--json", limit=LIMIT,
    )  # fmt: skip
    [report] = [json.loads(line) for line in done.stdout.splitlines() if '"event": "report"' in line]
    results = {result["title"]: result for result in report["results"]}
    assert done.status == (0 if all(each["status"] in ("held", "skipped") for each in results.values()) else 1)
    return results


def test_an_update_by_a_signed_bundle_is_proven(cli: Cli, made: Path, tmp_path: Path) -> None:
    results = updated(cli, made, tmp_path, "good")
    assert {result["status"] for result in results.values()} <= {"held", "skipped"}, results
    assert results["rauc installs the update after the update"]["status"] == "held"
    assert results["the version is that of this image after the update"]["claims"][0]["actual"] == "2"
    assert results["command the slot that has come up is kept after the update"]["status"] == "held"


def test_a_bundle_that_is_signed_by_nobody_known_is_refuted(cli: Cli, made: Path, tmp_path: Path) -> None:
    results = updated(cli, made, tmp_path, "unknown-key")
    installed = results["rauc installs the update after the update"]
    assert installed["status"] == "failed"
    assert "signature" in json.dumps(installed)
