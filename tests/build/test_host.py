"""Who builds, and what it costs the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .conftest import Site, leftovers

pytestmark = pytest.mark.docker

MEASURED = """
import sys
from metallize.cli import main
from tests.memory import peak_kib
status = main(sys.argv[1:])
print("peak", peak_kib())
sys.exit(status)
"""
SOCKET = Path("/var/run/docker.sock")


def test_the_process_stays_small_whatever_the_images_size(site: Site) -> None:
    layer = site.layer(
        "large.dockerfile",
        "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\nRUN head -c 300M /dev/urandom >/srv/large\n",
    )
    profile = site.profile("large.img", "system.dockerfile", layer, generator="ext4")
    argv = [sys.executable, "-c", MEASURED, "build", str(profile), "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=site.folder, env=env, check=True, capture_output=True, text=True)
    peak_kib = int(done.stdout.splitlines()[-1].removeprefix("peak "))
    assert (site.build / "large.img").stat().st_size > 300 << 20
    assert peak_kib < 150 << 10


def test_a_user_who_is_not_root_builds_and_owns_the_image(site: Site) -> None:
    profile = site.profile("user.iso")
    uid = 54321 if os.getuid() == 0 else os.getuid()
    user: list[str] = []
    if os.getuid() == 0:
        # May read like root, because a checkout below root's home folder is what is tested; may write as itself only.
        os.chown(site.folder, uid, uid)
        for folder in (site.folder, *site.folder.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o711)
        user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={SOCKET.stat().st_gid}"]
        user += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = subprocess.run(
        [*user, sys.executable, "-m", "metallize", "build", str(profile), "--json"],
        cwd=site.folder,
        env={**os.environ, "HOME": str(site.folder), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["event"] == "result"
    assert (site.build / "user.iso").stat().st_uid == uid
    assert leftovers(site.build) == ["user.iso", "user.iso.files.mtree", "user.iso.manifest.json"]
