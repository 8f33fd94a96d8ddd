"""A scheduler and workers of this very host, as their users start them; the guests alone are pretended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from metallize.night.attempt import Attempt
from metallize.night.executors.dask import Dask
from metallize.night.fleet.keys import Keys
from metallize.night.fleet.link import Place
from tests.conftest import ROOT
from tests.unit.build.conftest import Recorder
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import PASSED

LIMIT_SECONDS = 60.0


def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < end, f"it did not come to be that {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


@dataclass
class Fleet:
    """Programs that are ended with the test."""

    folder: Path
    port: int = field(default_factory=free_port)
    keys: Keys | None = None
    shared: Path | None = None
    """In which images and evidence travel; None: over HTTP."""
    program: tuple[str, ...] = (str(Path(__file__).with_name("pretending.py")),)
    """What stands for `metallize`, of Python."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def place(self) -> Place:
        return Place(host="127.0.0.1", port=self.port)

    @property
    def log(self) -> Path:
        """A line for each boot that begins and each that ends, of all workers."""
        return self.folder / "boots.log"

    def lines(self, word: str) -> list[list[str]]:
        """Those that begin so: digest, machine and process."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.startswith(word)]

    def scheduler(self) -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        words += ["--dashboard-address", "127.0.0.1:0"]
        if self.keys is not None:
            words += ["--protocol", "tls", "--tls-ca-file", str(self.keys.certificate)]
            words += ["--tls-cert", str(self.keys.certificate), "--tls-key", str(self.keys.key)]
        process = self.start(words, self.folder / "scheduler.txt")
        eventually(self._listens, "the scheduler listens")
        return process

    def _listens(self) -> bool:
        with socket.socket() as each:
            return each.connect_ex(("127.0.0.1", self.port)) == 0

    def worker(self, name: str, *words: str, prefix: tuple[str, ...] = (), **env: str) -> subprocess.Popen[bytes]:
        """`metallize worker`, once it is there; each has a folder of its own."""
        output = self.folder / f"{name}.txt"
        program = [*prefix, sys.executable, *self.program, "worker", str(self.place)]
        program += ["--folder", str(self.folder / name)]
        if self.keys is not None:
            program += ["--keys", str(self.keys.key.parent)]
        process = self.start([*program, *words], output, FLEET_LOG=str(self.log), **env)
        eventually(lambda: b"boots for" in output.read_bytes(), f"{name} is there: {output.read_text()}")
        return process

    def start(self, words: list[str], output: Path, **env: str) -> subprocess.Popen[bytes]:
        own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DASK_TEMPORARY_DIRECTORY": str(self.folder)}
        with output.open("wb") as file:
            process = subprocess.Popen(
                words, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **own, **env}, cwd=self.folder,
            )  # fmt: skip
        self.running.append(process)
        return process

    def executor(self) -> Dask:
        return Dask(place=self.place, keys=self.keys, shared=self.shared)

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(LIMIT_SECONDS)


@dataclass
class FleetNight:
    """A night whose images are really there and say how their boots go."""

    fleet: Fleet
    monkeypatch: pytest.MonkeyPatch
    events: Recorder = field(default_factory=Recorder)
    settled: list[tuple[str, str, bool]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.fleet.folder / "build"

    def run(self, images: dict[str, str], *, named: bool = True, **said: object) -> tuple[Attempt, ...]:
        """The attempts at a cell for each image, on seabios."""
        builds = Builds(
            dict.fromkeys(images, (PASSED,)),
            emulated=False,
            contents={name: f"{text}\n{name}".encode() for name, text in images.items()},
            settled=self.settled,
        ).install(self.monkeypatch)
        self.folder.mkdir(exist_ok=True)
        candidates = [builds.candidate(name, named=named) for name in images]
        return builds.night(self.folder, *candidates, events=self.events, executor=self.fleet.executor(), **said)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(folder=tmp_path)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def night(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> FleetNight:
    return FleetNight(fleet=fleet, monkeypatch=monkeypatch)
