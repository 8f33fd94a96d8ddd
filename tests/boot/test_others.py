"""An image that others made: Linux with busybox for init, shell and login, and dropbear for SSH; no systemd."""

from __future__ import annotations

import json
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

pytestmark = [pytest.mark.docker, pytest.mark.boot]
FOLDER = Path(__file__).with_name("others")
SUITE = """\
user: {root: {exists: true, uid: 0, home: /root, shell: /bin/sh}}
group: {root: {exists: true, gid: 0}}
file:
  /etc/inittab: {exists: true, contents: [dropbear], owner: root}
  /etc/machine-id: {exists: false}
  /init: {exists: true, filetype: symlink, linked-to: /bin/busybox}
process: {dropbear: {running: true}, systemd: {running: false}}
port: {"tcp:22": {listening: true}}
mount: {/proc: {exists: true, filesystem: proc}}
interface: {eth0: {exists: true, addrs: [10.0.2.15/24]}}
kernel-param: {kernel.hostname: {value: others}}
command: {busybox uname -s: {exit-status: 0, stdout: [Linux]}}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wanted = BaseImage(reference="debian:trixie", platform=Platform.AMD64)
    base = bases.resolve(DockerEngine(), planning.base_of(wanted, Catalog()), Silent())
    folder = tmp_path_factory.mktemp("others")
    given = f"BASE={base.image.reference}"
    argv: list[str | Path] = [find_cli().path, "build", "-q", "--build-arg", given, "--output", folder, FOLDER]
    run(argv, env=ENVIRONMENT)
    return folder / "others.iso"


def verify(cli: Cli, image: Path, folder: Path, *words: str | Path) -> tuple[int, dict[str, Any]]:
    done = cli(
        "verify", "--image", image, "--build-dir", folder, "--machine", "seabios", "--init", "other", "--json", *words
    )
    [report] = [json.loads(line) for line in done.stdout.splitlines() if '"event": "report"' in line]
    return done.status, report


def test_it_is_logged_into_and_looked_at_as_any_other(cli: Cli, image: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    status, report = verify(cli, image, tmp_path, "--assert", suite, "--user", "root", "--password", "secret")
    assert status == 0, report
    assert report["stage"] == "ready"
    titles = {result["title"] for result in report["results"]}
    assert {"serial login as root", "ssh login as root", "process dropbear", "interface eth0"} <= titles
    status_of = {result["id"]: result["status"] for result in report["results"]}
    for look in ("boot/system", "boot/rest"):
        assert {status_of[f"{look}/{name}"] for name in ("units", "state", "restarts")} == {"skipped"}
        assert status_of[f"{look}/init"] == status_of[f"{look}/root"] == "held"


def test_a_wrong_password_and_a_broken_assertion_are_told_of_it(cli: Cli, image: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("process: {sshd: {running: true}}\nservice: {dropbear: {enabled: true}}\n")
    status, report = verify(cli, image, tmp_path, "--assert", suite, "--user", "root", "--password", "secret")
    assert status == 1
    assert {result["title"] for result in report["results"] if result["status"] not in ("held", "skipped")} == {
        "process sshd",
        "service dropbear",
    }
    failed = dict[str, str]()
    for _ in range(2):
        status, report = verify(cli, image, tmp_path, "--user", "root", "--password", "wrong")
        assert status == 1
        failed = {
            result["title"]: result["claims"][0]["actual"]
            for result in report["results"]
            if result["status"] == "failed"
        }
        # An emulated serial port takes no more input now and then: login stays at `Password:`, whatever comes.
        if not failed.get("serial login as root", "").startswith("nothing answered"):
            break
    assert failed == {
        "serial login as root with a wrong password": "refused, as the right one was",
        "serial login as root": "refused",
        "ssh login as root": "refused",
    }
    unseen = [result for result in report["results"] if result["status"] == "unseen"]
    assert unseen, "nobody is in, so that nobody saw the system"
    assert all(result["note"] for result in unseen)


def test_with_no_login_it_is_verified_up_to_its_prompt(cli: Cli, image: Path, tmp_path: Path) -> None:
    status, report = verify(cli, image, tmp_path)
    assert status == 0
    assert any("others login:" in line for line in report["console_tail"])
