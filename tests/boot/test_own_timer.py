"""A machine finds the next release on its server by itself: its own timer, its own transfers, and gpg's signature."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.boot.test_release_clients import HOST
from tests.boot.test_two_systems import results, written
from tests.conftest import Cli
from tests.release.clients.serving import USER, keyring, served

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]  # four boots, and two releases

TIMER = """\
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
COPY import-pubring.gpg /etc/systemd/import-pubring.gpg
COPY soon.conf /etc/systemd/system/systemd-sysupdate.timer.d/soon.conf
"""
SOON = """\
[Unit]
ConditionPathExists=/var/lib/in-a-fleet
[Timer]
OnBootSec=
OnBootSec=5s
RandomizedDelaySec=0
"""
"""A lonely machine would find no server, and have a unit that failed."""
WAIT = """\
touch /var/lib/in-a-fleet
systemctl start systemd-sysupdate.timer
for second in $(seq 500); do
  state=$(systemctl show --property ActiveState --value systemd-sysupdate.service)
  ls /efi/EFI/Linux | grep -qE '^debian13-ab_2(\\+|\\.)' && [ "$state" = inactive ] && exit
  sleep 1
done
systemctl status --no-pager --full systemd-sysupdate.timer systemd-sysupdate.service
exit 1
"""
VERSION = '. /usr/lib/os-release; echo "$IMAGE_VERSION"'


def asking(folder: Path, version: str, url: str, public_keys: Path, **boot: object) -> Path:
    """The shipped profile as one of a fleet's, whose machines look at the server's channel soon after they are up."""
    profile = written(folder, version, machines=["ovmf"], **boot)
    content: dict[str, Any] = yaml.safe_load(profile.read_text())
    content["images"].append("timer.dockerfile")
    content["output"]["options"] = {"update": f"{url}/stable", "verify": True}
    profile.write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / "timer.dockerfile").write_text(TIMER)
    (folder / "soon.conf").write_text(SOON)
    shutil.copy(public_keys, folder / "import-pubring.gpg")
    return profile


def test_a_machine_updates_itself_from_its_server_by_its_own_timer(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, to = (tmp_path / name for name in ("g", "to"))
    home.mkdir()
    to.mkdir()
    monkeypatch.setenv("GNUPGHOME", str(home))
    with keyring(home), served(to) as address:
        url = f"http://{HOST}:{address.rpartition(':')[2]}"
        public_keys = tmp_path / "import-pubring.gpg"
        subprocess.run(["gpg", "--output", public_keys, "--export", USER], check=True)
        for version in ("1", "2"):
            profile = asking(tmp_path / version, version, url, public_keys)
            folder = tmp_path / f"build-{version}"
            assert cli("build", profile, "--verify", "--build-dir", folder).status == 0
            told = ("--channel", "stable", "--url", url, "--gpg-key", USER, "--xz-level", "0", "--build-dir", folder)
            shipped = cli("publish", profile, "--to", to, *told)
            assert shipped.status == 0, shipped.stderr
        update = {"from": str(to / "stable"), "install": [WAIT], "version": VERSION}
        proven = asking(tmp_path / "proven", "2", url, public_keys, update=update)
        assert cli("verify", proven, "--build-dir", folder).status == 0
    titles = results(folder)
    assert titles["the version is that of this image after the update"] == "held"
    assert titles["command the system has come up, and is kept after the update"] == "held"
