"""Clients of today read a release as it is: each here is the real program, over HTTP from a plain static server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
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
USER = "Release <release@example.com>"
pytestmark = pytest.mark.slow


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "to"
    folder.mkdir()
    return folder


@pytest.fixture
def url(to: Path) -> Iterator[str]:
    """Where the destination is served."""
    handler = functools.partial(Quiet, directory=str(to))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def gnupg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A keyring with a key of its own; its agent ends with it."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", USER, "ed25519", "sign"]
    subprocess.run(make, check=True, capture_output=True)
    yield
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)


def test_bmaptool_writes_the_image_from_its_address(tmp_path: Path, to: Path, url: str) -> None:
    """It finds the map by itself; a block that the map lacked would keep what was on the card."""
    if shutil.which("bmaptool") is None:
        pytest.skip("bmaptool is not installed")
    released(to, ware(tmp_path / "build"))
    card = tmp_path / "card"
    said = subprocess.run(
        ["bmaptool", "copy", f"{url}/stable/{FILE}", card], check=True, capture_output=True, text=True
    )
    assert "discovered bmap file" in said.stderr + said.stdout
    assert "or 100.0%" in said.stderr + said.stdout
    assert card.read_bytes() == CONTENT


def test_bmaptool_notices_a_damaged_image(tmp_path: Path, to: Path, url: str) -> None:
    if shutil.which("bmaptool") is None:
        pytest.skip("bmaptool is not installed")
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


@pytest.mark.skipif(not PULL.exists(), reason="systemd-pull is not installed (package systemd-container)")
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
