"""A goss file that touches every kind, on one real guest, over SSH and over serial; and its twin, which must fail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.deadline import Deadline
from metallize.events import Silent
from metallize.guest import Shell, ShellOutput
from metallize.machines import seabios
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, Login, Ssh
from metallize.model.profile import ImageFormat
from metallize.model.report import Result, Status
from metallize.verify import VerifyRequest
from metallize.verify.booted import Booted
from metallize.verify.checklist import FIRST
from metallize.verify.machine import booted
from metallize.verify.phases.assertions import plan as planned
from tests.conftest import ROOT, Cli
from tests.servers import dns_server, http_server

pytestmark = [pytest.mark.docker, pytest.mark.boot]

FILES = Path(__file__).parent / "goss"
VOCABULARY = Catalog().vocabulary()
RECORDS = {
    ("example.test", "A"): (bytes([192, 0, 2, 10]),),
    ("example.test", "AAAA"): (bytes.fromhex("20010db8" + "00" * 11 + "0a"),),
    ("example.test", "MX"): (b"\0\x0a\1b\4test\0", b"\0\5\1a\4test\0"),
}
HOST = "10.0.2.2"
"""The host, as a guest of QEMU's user network sees it."""


class Counted:
    """A shell that counts its round trips."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.name = shell.name
        self.trips = 0

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        self.trips += 1
        return self._shell.run(script, deadline)

    def close(self) -> None:
        """It belongs to the boot."""


@pytest.fixture(scope="module")
def guest(cli: Cli, build_dir: Path) -> Iterator[Booted]:
    assert cli("build", ROOT / "profiles" / "debian13-livecd.yaml", "--build-dir", build_dir).status == 0
    request = VerifyRequest(
        image=build_dir / "debian13-livecd.iso",
        image_format=ImageFormat.ISO,
        boot=Boot(login=Login(user="admin", password="admin"), ssh=Ssh(user="admin", password="admin"), internet=True),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds=VOCABULARY.kinds,
        runs_dir=build_dir / "runs" / "goss",
    )
    with booted(request, Silent()) as boot:
        assert boot.report.passed, boot.report
        yield boot


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Words of the goss files, and the servers of this host that they stand for."""
    with http_server() as url, dns_server(RECORDS) as names:
        port = url.rpartition(":")[2]
        yield {"HOST_HTTP": f"http://{HOST}:{port}", "HOST_DNS": f"{HOST}:{names.rpartition(':')[2]}"}


def load(name: str, servers: dict[str, str], folder: Path) -> tuple[Assertion, ...]:
    shutil.copytree(FILES, folder / "goss", dirs_exist_ok=True)
    path = folder / "goss" / name
    text = path.read_text()
    for word, server in servers.items():
        text = text.replace(word, server)
    path.write_text(text)
    return load_suite(path, vocabulary=VOCABULARY)


def shell_of(boot: Booted, name: str) -> Shell:
    task = boot.session.ways.ssh if name == "ssh" else boot.session.ways.serial
    assert task is not None
    shell: Shell | None = task.value()
    assert shell is not None
    return shell


def observe(boot: Booted, shell: Shell, assertions: tuple[Assertion, ...]) -> list[Result]:
    """One look; what does not hold is not looked at again."""
    observer = replace(boot.session.observer, deadline=Deadline.after(0, "no second look"))
    return observer.assertions(shell, planned(FIRST, assertions), assertions)


@pytest.mark.parametrize("way", ["ssh", "serial"])
def test_every_kind_holds_on_a_real_guest(way: str, guest: Booted, servers: dict[str, str], tmp_path: Path) -> None:
    assertions = load("holds.yaml", servers, tmp_path)
    assert {item.kind for item in assertions} == set(VOCABULARY.kinds) - {"gossfile"}
    assert len(assertions) >= 50
    shell = Counted(shell_of(guest, way))
    results = observe(guest, shell, assertions)
    failed = [(result.title, claim) for result in results for claim in result.claims if not claim.holds]
    assert not failed, failed
    assert shell.trips == 1
    skipped = [result.title for result in results if result.status is Status.SKIPPED]
    assert skipped == ["command included, and left out"]
    seen = [result for result in results if result.status is not Status.SKIPPED and result.kind != "matching"]
    assert {result.observed for result in seen} == {way}


@pytest.mark.parametrize("way", ["ssh", "serial"])
def test_the_broken_twin_fails_in_every_resource(
    way: str, guest: Booted, servers: dict[str, str], tmp_path: Path
) -> None:
    assertions = load("broken.yaml", servers, tmp_path)
    assert {item.kind for item in assertions} == set(VOCABULARY.kinds) - {"gossfile"}
    results = observe(guest, shell_of(guest, way), assertions)
    assert [result.title for result in results if result.holds] == []
    for result in results:
        failed = [claim for claim in result.claims if not claim.holds]
        assert len(failed) == 1, (result.title, failed)
        [claim] = failed
        assert claim.expected
        assert claim.actual
        assert claim.actual != claim.expected
        assert claim.actual != "not seen" or claim.note, f"{result.title}: nothing seen, and no reason"
