"""Clients of today read a release as it is: each here is the real program, over HTTP from a plain static server."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.errors import CommandError, UsageError
from metallize.release.destinations import destination_at
from metallize.release.gpg import gpg_signer
from metallize.release.retention import Retention
from metallize.release.sums import read_sums
from tests.unit.release.wares import CONTENT, NOW, released, tree, ware

FILE = "web_20261130.1_x86-64.raw.xz"
PULL = Path("/usr/lib/systemd/systemd-pull")
SYSTEM_RING = Path("/usr/lib/systemd/import-pubring.gpg")
pytestmark = pytest.mark.slow


def test_bmaptool_writes_the_image_from_its_address(tmp_path: Path, to: Path, url: str) -> None:
    """It finds the map by itself; a block that the map lacked would keep what was on the card."""
    released(to, ware(tmp_path / "build"))
    card = tmp_path / "card"
    said = subprocess.run(
        ["bmaptool", "copy", f"{url}/stable/{FILE}", card], check=True, capture_output=True, text=True
    )
    assert "discovered bmap file" in said.stderr + said.stdout
    assert "or 100.0%" in said.stderr + said.stdout
    assert card.read_bytes() == CONTENT


def test_bmaptool_notices_a_damaged_image(tmp_path: Path, to: Path, url: str) -> None:
    released(to, ware(tmp_path / "build", CONTENT, "web.iso"))
    image = to / "stable" / "web_20261130.1_x86-64.iso"
    image.write_bytes(CONTENT[:-5000] + bytes(5000))
    said = subprocess.run(
        ["bmaptool", "copy", f"{url}/stable/{image.name}", tmp_path / "card"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.returncode != 0
    assert "checksum mismatch" in said.stderr


def test_gpg_verifies_the_sums_with_the_ring_beside_them(tmp_path: Path, to: Path, gnupg: None) -> None:
    released(to, ware(tmp_path / "build"), sign=gpg_signer("release@example.com"))
    ring = str(to / "stable" / "import-pubring.gpg")
    assert (to / "stable" / "import-pubring.pgp").read_bytes() == Path(ring).read_bytes()
    verify = ["gpg", "--no-default-keyring", "--keyring", ring, "--verify", "SHA256SUMS.gpg", "SHA256SUMS"]
    subprocess.run(verify, cwd=to / "stable", check=True, capture_output=True)
    (to / "stable" / "SHA256SUMS").write_bytes((to / "stable" / "SHA256SUMS").read_bytes().replace(b"a", b"b", 1))
    assert subprocess.run(verify, cwd=to / "stable", check=False, capture_output=True).returncode != 0


def test_a_signed_channel_stays_signed(tmp_path: Path, to: Path, gnupg: None) -> None:
    released(to, ware(tmp_path / "one"), sign=gpg_signer("release@example.com"))
    before = tree(to / "stable")
    with pytest.raises(UsageError, match="was signed") as caught:
        released(to, ware(tmp_path / "two", b"other"))
    assert caught.value.hint == "add --gpg-key KEY"
    assert tree(to / "stable") == before
    with pytest.raises(CommandError, match="gpg"):
        gpg_signer("nobody@example.com")


def test_systemd_pulls_what_the_sums_tell_of(tmp_path: Path, to: Path, url: str) -> None:
    """What importctl, machinectl and systemd-sysupdate start to fetch an image."""
    released(to, ware(tmp_path / "build"))
    target = tmp_path / "pulled"
    subprocess.run(
        [PULL, "raw", "--direct", "--verify=checksum", f"{url}/stable/{FILE}", target], check=True, capture_output=True
    )
    assert target.read_bytes() == CONTENT


@pytest.mark.skipif(
    not PULL.exists() or not SYSTEM_RING.exists() or os.geteuid() != 0,
    reason="systemd-pull is not installed, or we are not root, who may give it a keyring in a namespace",
)
def test_systemd_pulls_what_is_signed_with_the_ring_beside_it(tmp_path: Path, to: Path, url: str, gnupg: None) -> None:
    released(to, ware(tmp_path / "build"), sign=gpg_signer("release@example.com"))
    target = tmp_path / "pulled"
    pull = 'exec "$0" raw --direct --verify=signature "$1" "$2"'
    words = [str(PULL), f"{url}/stable/{FILE}", str(target)]
    with_ring = f'mount --bind "$3" {SYSTEM_RING} && {pull}'
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", with_ring, *words, str(to / "stable" / "import-pubring.gpg")],
        check=True,
        capture_output=True,
    )
    assert target.read_bytes() == CONTENT
    target.unlink()
    refused = subprocess.run(["sh", "-c", pull, *words], check=False, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "Signature verification failed" in refused.stderr


def test_dpkg_and_systemd_sort_versions_as_we_do() -> None:
    from metallize.release.naming import compare

    known = ["20261130.1", "20261130.2", "20261130.10", "20261201.1", "1.0~rc1", "1.0", "1.0.1", "1.10", "2", "1.0~rc2"]
    tools = [tool for tool in ("dpkg", "systemd-analyze") if shutil.which(tool)]
    assert tools, "neither is here"
    for one in known:
        for other in known:
            ours = (compare(one, other) > 0) - (compare(one, other) < 0)
            assert ours == -((compare(other, one) > 0) - (compare(other, one) < 0))
            sign = {-1: "lt", 0: "eq", 1: "gt"}[ours]
            for tool in tools:
                word = "--compare-versions" if tool == "dpkg" else "compare-versions"
                argv = [tool, word, one, sign, other]
                assert subprocess.run(argv, check=False, capture_output=True).returncode == 0, argv


def test_who_fetches_meanwhile_never_sees_a_half_release(tmp_path: Path, to: Path, url: str) -> None:
    """Everything that the sums list is there with that digest, at any moment, while releases come and go."""
    wares = [ware(tmp_path / f"b{number}", b"image %d " % number * 50_000) for number in range(8)]
    released(to, wares[0])
    over, errors, rounds = threading.Event(), [], 0

    def fetch() -> None:
        nonlocal rounds
        while not over.is_set():
            try:
                with urllib.request.urlopen(f"{url}/stable/SHA256SUMS") as answer:  # noqa: S310 - ours
                    listed = read_sums(answer.read().decode())
                for name, sha256 in listed.items():
                    with urllib.request.urlopen(f"{url}/stable/{name}") as answer:  # noqa: S310 - ours
                        found = hashlib.sha256(answer.read()).hexdigest()
                    if found != sha256:
                        errors.append(f"{name} is {found}")
            except (OSError, ValueError) as exc:
                errors.append(repr(exc))
            rounds += 1

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number, each in enumerate(wares[1:]):
        released(destination_at(str(to)), each, retention=Retention(number=2), now=NOW + timedelta(hours=number))
    over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rounds > 3


def lxc(remote: str, home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """LXD's own client, which reads a channel by itself: no daemon is asked."""
    home.mkdir(exist_ok=True)
    (home / "config.yml").write_text(f"remotes:\n  here: {{addr: {remote}, protocol: simplestreams, public: true}}\n")
    argv = ["lxc", *map(str, words)]
    env = {**os.environ, "LXD_CONF": str(home)}
    return subprocess.run(argv, env=env, check=False, capture_output=True, text=True)


def test_lxd_lists_and_fetches_the_newest_disk(tmp_path: Path, to: Path, url: str) -> None:
    disks = [b"QFI\xfb" + bytes([number]) * 100_000 for number in range(11)]
    for number, disk in enumerate(disks):
        released(to, ware(tmp_path / f"b{number}", disk, "web.qcow2"))
    home = tmp_path / "lxd"
    listed = lxc(f"{url}/stable", home, "image", "list", "here:", "--format", "csv")
    assert listed.stdout.count("VIRTUAL-MACHINE") == len(disks), listed.stderr
    fetched = lxc(f"{url}/stable", home, "image", "export", "here:web", tmp_path / "out", "--vm")
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "out.root").read_bytes() == disks[-1], "10 comes after 9, for LXD too"
    metadata = (to / "stable" / "web_20261130.11_x86-64.qcow2.lxd.tar.xz").read_bytes()
    assert (tmp_path / "out").read_bytes() == metadata


def test_lxd_refuses_a_disk_that_was_changed(tmp_path: Path, to: Path, url: str) -> None:
    released(to, ware(tmp_path / "build", b"QFI\xfb" + bytes(100_000), "web.qcow2"))
    (to / "stable" / "web_20261130.1_x86-64.qcow2").write_bytes(b"QFI\xfb" + bytes(99_999) + b"x")
    fetched = lxc(f"{url}/stable", tmp_path / "lxd", "image", "export", "here:web", tmp_path / "out", "--vm")
    assert fetched.returncode != 0
    assert "Hash mismatch" in fetched.stderr
