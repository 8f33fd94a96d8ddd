"""`metallize serve`, as a process: what it refuses, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metallize.build.generator import sha256_of
from metallize.build.store import stamp_of
from metallize.commands import serving
from metallize.errors import VerificationFailed
from tests.conftest import Cli
from tests.unit.proof.proofs import SEABIOS, proven
from tests.unit.serve.conftest import FILES, LOOPBACK, write_archive
from tests.unit.serve.tftp_client import fetch

pytestmark = pytest.mark.slow

PORTS = ("--address", LOOPBACK, "--http-port", "0", "--tftp-port", "0")


def verified(archive: Path) -> Path:
    proven(archive, SEABIOS)
    return archive


@contextmanager
def started(*args: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "metallize", "serve", *(str(arg) for arg in args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return out, err


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_serves_a_verified_image_and_tells_of_every_fetch(archive: Path) -> None:
    with started(verified(archive), *PORTS, "--json") as process:
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        assert begun["event"] == "serving"
        assert begun["sha256"] == sha256_of(archive)
        with urllib.request.urlopen(f"http://{LOOPBACK}:{begun['http_port']}/vmlinuz", timeout=10) as answer:
            assert answer.read() == FILES["vmlinuz"]
        assert fetch(begun["tftp_port"], "boot.ipxe").content == FILES["boot.ipxe"]
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        out, _ = ended(process)
    assert [(each["protocol"], each["file"], each["bytes"], each["problem"]) for each in seen] == [
        ("http", "vmlinuz", 300_001, ""),
        ("tftp", "boot.ipxe", 12, ""),
    ]
    assert events(out) == [{"event": "result", "machines": 1, "fetches": 2, "bytes": 300_013}]


def test_it_says_to_a_person_what_the_dhcp_server_needs(archive: Path) -> None:
    with started(verified(archive), *PORTS) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(12)]
        port = lines[0].partition("HTTP port ")[2].partition(",")[0]
        urllib.request.urlopen(f"http://{LOOPBACK}:{port}/even", timeout=10).close()
        _, err = ended(process)
    assert lines[0].startswith(
        f"Serving {archive} (verified, sha256 {sha256_of(archive)[:12]}) on {LOOPBACK}: HTTP port "
    )
    assert lines[1] == f"In the DHCP server: next-server {LOOPBACK}, and as filename\n"
    assert [line.split()[0] for line in lines[2:5]] == ["boot.ipxe", "boot.pxe", "bootx64.efi"]
    assert f"  dhcp-boot=tag:!ipxe,tag:efi,bootx64.efi,,{LOOPBACK}\n" in lines
    assert f"{LOOPBACK}  even over HTTP: 1.0 kB in 0.0 s" in err
    assert err.splitlines()[-2:] == ["Fetched:", f"  {LOOPBACK}  1.0 kB: even"]


def test_what_nobody_has_seen_boot_is_refused(cli: Cli, archive: Path, tmp_path: Path) -> None:
    for target, words in ((archive, "has not been verified"), (tmp_path, "is a folder")):
        done = cli("serve", target, *PORTS)
        assert done.status == 1
        assert words in done.stderr
        assert "--unverified" in done.stderr


def test_other_bytes_than_those_that_were_verified_are_refused(cli: Cli, archive: Path) -> None:
    write_archive(verified(archive), {**FILES, "vmlinuz": b"other"})
    done = cli("serve", archive, *PORTS)
    assert done.status == 1
    assert "is not the file that was verified" in done.stderr


def test_an_archive_that_was_replaced_since_is_not_the_one_that_was_verified(archive: Path) -> None:
    source = serving._Source(path=verified(archive), sha256=sha256_of(archive), stamp=stamp_of(archive.stat()))
    with serving._opened(source) as files:
        assert "vmlinuz" in files.names
    other = archive.with_name("other")
    write_archive(other, FILES)
    other.replace(archive)
    with pytest.raises(VerificationFailed, match="is not the file any more"), serving._opened(source):
        pass
    archive.unlink()
    archive.mkdir()
    (archive / "boot.ipxe").write_text("x")
    with pytest.raises(VerificationFailed, match="is not the file any more"), serving._opened(source):
        pass


def test_it_serves_unverified_what_it_is_told_to(archive: Path) -> None:
    with started(archive, *PORTS, "--unverified", "--no-tftp", "--json") as process:
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        assert begun["tftp_port"] is None
        assert begun["sha256"] == ""
        _, err = ended(process)
    assert "nothing proves that it boots" in err


@pytest.mark.parametrize("port", ["70000", "-1", "x", ""])
def test_a_port_that_is_none(cli: Cli, archive: Path, port: str) -> None:
    done = cli("serve", archive, f"--http-port={port}")
    assert done.status == 2
    assert "is no port" in done.stderr
