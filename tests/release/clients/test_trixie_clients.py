"""Clients that Debian 13 has, and no older one: systemd-sysupdate and Incus' own, in a container, over HTTP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metallize import planning
from metallize.build.base import bases
from metallize.build.engines.docker import DockerEngine
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog
from metallize.command import Finished, run
from metallize.events import Silent
from metallize.model.profile import Platform
from metallize.release.channel.serving import ServingChange
from metallize.release.gpg import gpg_signer
from tests.unit.release.wares import CONTENT, released, ware

LIMIT = timedelta(minutes=5)
PACKAGES = ("systemd-container", "incus-client", "gpg")
OLD_MIRROR = "apt-get update -q -o Acquire::Check-Valid-Until=false"
UPDATE = "/usr/lib/systemd/systemd-sysupdate update"
pytestmark = pytest.mark.docker


class Guest:
    """A running container, on the host's network: there the destination is served."""

    def __init__(self, container: str) -> None:
        self.container = container

    def run(self, script: str) -> Finished:
        return run(["docker", "exec", self.container, "sh", "-euc", script], check=False, timeout=LIMIT)

    def put(self, source: Path, target: str) -> None:
        run(["docker", "cp", source, f"{self.container}:{target}"])

    def content(self, path: str) -> bytes:
        return subprocess.run(["docker", "exec", self.container, "cat", path], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def trixie() -> Iterator[Guest]:
    with container(f"apt-get install -y -q --no-install-recommends {' '.join(PACKAGES)}") as guest:
        yield guest


@pytest.fixture
def newest() -> Iterator[Guest]:
    """With the systemd of Debian sid; the mirror may be one that was left as it was some weeks ago."""
    sid = f"sed -i -e 's/trixie/sid/' -e '/updates/d' -e '/security/d' /etc/apt/sources.list && {OLD_MIRROR}"
    with container(f"{sid} && apt-get install -y -q --no-install-recommends systemd-container libcurl4t64") as guest:
        yield guest


@contextmanager
def container(made_by: str, *options: str) -> Iterator[Guest]:
    suite = planning.base_of(BaseImage(reference="debian:trixie", platform=Platform.AMD64), Catalog())
    base = bases.resolve(DockerEngine(), suite, Silent()).image.reference
    started = ["docker", "run", "--detach", "--rm", "--network", "host", *options, base, "sleep", "infinity"]
    name = run(started).stdout.strip()
    try:
        guest = Guest(name)
        made = guest.run(f"apt-get update -q && {made_by}")
        assert made.status == 0, made.stderr
        yield guest
    finally:
        run(["docker", "rm", "--force", name], check=False)


@pytest.fixture
def host(trixie: Guest) -> Guest:
    """With no image and no key on it."""
    trixie.run("rm -rf /var/lib/machines/* /etc/sysupdate.d /etc/systemd/import-pubring.gpg; mkdir -p /etc/sysupdate.d")
    return trixie


def test_sysupdate_takes_the_newest_and_keeps_two(tmp_path: Path, to: Path, url: str, gnupg: None, host: Guest) -> None:
    """From the folder as it stands: its transfer, its keyring, its list; signed, and fresh until a day to come."""
    serving, now = ServingChange(url=url, days=14), datetime.now(UTC)
    for number in range(2):
        content = f"image {number}".encode() * 9000
        released(
            to, ware(tmp_path / f"b{number}", content), serving=serving, now=now, sign=gpg_signer("release@example.com")
        )
        host.put(to / "stable" / "web.transfer", "/etc/sysupdate.d/web.transfer")
        host.put(to / "stable" / "import-pubring.gpg", "/etc/systemd/import-pubring.gpg")
        done = host.run(UPDATE)
        assert done.status == 0, done.stderr
        assert host.content("/var/lib/machines/web.raw") == content
    kept = host.run("ls /var/lib/machines").stdout.split()
    day = f"{now:%Y%m%d}"
    assert kept == ["web.raw", f"web_{day}.1.raw", f"web_{day}.2.raw"]


def test_sysupdate_refuses_what_another_key_signed(
    tmp_path: Path, to: Path, url: str, gnupg: None, host: Guest
) -> None:
    released(to, ware(tmp_path / "build"), serving=ServingChange(url=url), sign=gpg_signer("release@example.com"))
    host.put(to / "stable" / "web.transfer", "/etc/sysupdate.d/web.transfer")
    done = host.run(UPDATE)
    assert done.status != 0
    assert "Signature verification failed" in done.stdout + done.stderr


@pytest.mark.nightly
def test_sysupdate_refuses_a_list_that_is_no_longer_fresh(tmp_path: Path, to: Path, url: str, newest: Guest) -> None:
    """systemd reads the marker since version 260, which Debian has in sid; older ones pass over it."""
    made = ware(tmp_path / "build")
    released(to, made, serving=ServingChange(url=url, days=14), now=datetime.now(UTC) - timedelta(days=20))
    newest.run("mkdir -p /etc/sysupdate.d")
    newest.put(to / "stable" / "web.transfer", "/etc/sysupdate.d/web.transfer")
    done = newest.run(UPDATE)
    assert done.status != 0
    assert "out-of-date file list, refusing" in done.stdout + done.stderr
    released(to, made, now=datetime.now(UTC))
    again = newest.run(UPDATE)
    assert again.status == 0, "writing the list again renews it"
    assert "Found best before marker, and it checks out" in again.stdout + again.stderr
    assert newest.content("/var/lib/machines/web.raw") == CONTENT


def test_incus_lists_and_fetches_the_newest_disk(tmp_path: Path, to: Path, url: str, host: Guest) -> None:
    disks = [b"QFI\xfb" + bytes([number]) * 100_000 for number in range(2)]
    for number, disk in enumerate(disks):
        released(to, ware(tmp_path / f"b{number}", disk, "web.qcow2"))
    conf = f"remotes:\n  here: {{addr: {url}/stable, protocol: simplestreams, public: true}}\n"
    done = host.run(
        f"mkdir -p /root/incus; printf '%s' '{conf}' >/root/incus/config.yml; export INCUS_CONF=/root/incus\n"
        "rm -f /root/out /root/out.root; incus image list here: --format csv\n"
        "incus image export here:web /root/out --vm"
    )
    assert done.status == 0, done.stderr
    assert done.stdout.count("VIRTUAL-MACHINE") == len(disks)
    assert host.content("/root/out.root") == disks[-1]
