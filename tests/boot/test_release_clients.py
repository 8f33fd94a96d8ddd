"""A booted guest takes a release from a web server by systemd's own means, and has the bytes that were published."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from metallize.command import run
from metallize.release.channel.serving import ServingChange
from metallize.release.gpg import gpg_signer
from tests.release.clients.serving import IMAGE, USER, keyring, served
from tests.unit.release.wares import released, ware

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]

HERE = Path(__file__).parent / "clients"
HOST = "10.0.2.2"
"""This host, as a guest behind QEMU's user network sees it."""
OLD, NEW = IMAGE, IMAGE[::-1]


def test_a_guest_takes_a_release_from_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, to = (tmp_path / name for name in ("g", "to"))
    home.mkdir()
    to.mkdir()
    monkeypatch.setenv("GNUPGHOME", str(home))
    with keyring(home), served(to) as url:
        at = f"http://{HOST}:{url.rpartition(':')[2]}"
        for number, content in enumerate((OLD, NEW)):
            done = released(
                to, ware(tmp_path / f"b{number}", content), serving=ServingChange(url=at), sign=gpg_signer(USER)
            )
        site = shutil.copytree(HERE, tmp_path / "site")
        for name in ("web.transfer", "import-pubring.gpg"):
            shutil.copy(to / "stable" / name, site)
        asked = {
            "url": f"{at}/stable",
            "newest": done.release.version,
            "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in (("old", OLD), ("new", NEW))},
        }
        (site / "asked.json").write_text(json.dumps(asked))
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rA"]
        ran = run([*argv, "in_the_guest.py", "--profile", "clients.yaml"], cwd=site, check=False)
    sys.stdout.write(ran.stdout)
    assert ran.status == 0
    assert "PASSED in_the_guest.py::test_one_is_fetched_by_its_address" in ran.stdout
