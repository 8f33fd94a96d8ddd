"""An ordinary application dockerfile runs as a service on an image of another kind, unchanged.

Every day on the cloud VM, in test_cloud.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]

PROFILE = """\
extends: debian13-livecd
images: [templogger.dockerfile]
output:
  file: templogger.iso
  app: {name: temperature, environment: {TEMPLOGGER_SECONDS: "1"}}
boot:
  machines: [seabios]
  suites: [base]
  assert:
    service:
      temperature: {enabled: true, running: true}
    command:
      the app runs as its user, in its folder, with its variables:
        exec: >-
          pid=$(systemctl show --value -p MainPID temperature); ps -o user= -p $pid; readlink /proc/$pid/cwd;
          tr '\\0' '\\n' </proc/$pid/environ
        exit-status: 0
        stdout: [templogger, /opt/templogger, TEMPLOGGER_SECONDS=1, TEMPLOGGER_SENSORS=/sys/class/thermal]
      the app's output is in the journal:
        exec: journalctl -u temperature -o cat --no-pager
        exit-status: 0
        stdout: ["/^(thermal_zone[0-9]+ [0-9.]+ C|no sensor in .*)$/"]
"""


def test_the_app_of_the_pi_runs_on_a_live_cd(cli: Cli, build_dir: Path, tmp_path: Path) -> None:
    profile = tmp_path / "templogger.yaml"
    profile.write_text(PROFILE)
    done = cli("build", profile, "--verify", "--build-dir", build_dir)
    assert done.status == 0
    [machine] = json.loads((build_dir / "templogger.iso.verification.json").read_text())["machines"]
    held = {result["title"] for result in machine["results"] if result["status"] == "held"}
    assert any("the app runs as its user" in title for title in held)
