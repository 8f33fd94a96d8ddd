"""Run in the booted guest, by tests/boot/test_release_clients.py."""

from __future__ import annotations

import json
from pathlib import Path

from metallize.pytest_plugin.api import Shell

ASKED = json.loads(Path("asked.json").read_text())
UPDATE = "/usr/lib/systemd/systemd-sysupdate --verify=yes"
MACHINES = "/var/lib/machines"
SECONDS = 120


def test_the_newest_is_what_was_published_last(ssh: Shell) -> None:
    assert ssh.run(f"{UPDATE} check-new", root=True, check=True).stdout.strip() == ASKED["newest"]


def test_it_is_fetched(ssh: Shell) -> None:
    ssh.run(f"{UPDATE} update", root=True, timeout=SECONDS, check=True)
    assert ssh.run(f"sha256sum {MACHINES}/web.raw", root=True, check=True).stdout.split()[0] == ASKED["sha256"]["new"]
    assert ssh.run(f"{UPDATE} check-new", root=True).status != 0, "there is nothing newer"


def test_one_is_fetched_by_its_address(ssh: Shell) -> None:
    first = ASKED["newest"].removesuffix("2") + "1"
    fetch = f"importctl --class=machine --verify=signature pull-raw {ASKED['url']}/web_{first}_x86-64.raw.xz one"
    ssh.run(fetch, root=True, timeout=SECONDS, check=True)
    assert ssh.run(f"sha256sum {MACHINES}/one.raw", root=True, check=True).stdout.split()[0] == ASKED["sha256"]["old"]


def test_what_nobody_signed_is_refused(ssh: Shell) -> None:
    ssh.run("mv /etc/systemd/import-pubring.gpg /root/", root=True, check=True)
    newest = f"{ASKED['url']}/web_{ASKED['newest']}_x86-64.raw.xz"
    refused = ssh.run(f"importctl --class=machine --verify=signature pull-raw {newest} two", root=True, timeout=SECONDS)
    ssh.run("mv /root/import-pubring.gpg /etc/systemd/", root=True, check=True)
    assert refused.status != 0
    assert ssh.run(f"test ! -e {MACHINES}/two.raw", root=True).status == 0
