"""docs/nightly.md, On many hosts, word by word: two network namespaces stand for the two hosts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.boot.test_nightly import GOOD, tiny_profile
from tests.conftest import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
PAGE = (ROOT / "docs/nightly.md").read_text().partition("## On many hosts")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LIMIT_SECONDS = 600.0


@dataclass
class Hosts:
    """A namespace for each, with one wire between them and a home of its own."""

    folder: Path
    names: tuple[str, str] = (f"m{os.getpid()}a", f"m{os.getpid()}b")
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def home(self, number: int) -> Path:
        return self.folder / f"host{number + 1}"

    def make(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
        one, two = self.names
        ip("link", "add", "wire", "netns", one, "type", "veth", "peer", "name", "wire", "netns", two)
        for number, name in enumerate(self.names, start=1):
            ip("-n", name, "address", "add", f"192.0.2.{number}/24", "dev", "wire")
            for device in ("lo", "wire"):
                ip("-n", name, "link", "set", device, "up")
            self.home(number - 1).mkdir()

    def start(self, number: int, script: str, output: str) -> subprocess.Popen[bytes]:
        """A script on one of them, in its home; what it prints is kept."""
        home = self.home(number)
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(home / "cache"),
            "METALLIZE_GUESTS": "1",
            "XDG_RUNTIME_DIR": str(home),
            "DASK_TEMPORARY_DIRECTORY": str(home),
        }
        with (self.folder / output).open("wb") as file:
            words = ["ip", "netns", "exec", self.names[number], "sh", "-euc", script]
            process = subprocess.Popen(words, cwd=home, env=env, stdout=file, stderr=file, start_new_session=True)
        self.running.append(process)
        return process

    def said(self, output: str) -> str:
        return (self.folder / output).read_text()

    def eventually(self, output: str, words: str) -> None:
        end = time.monotonic() + LIMIT_SECONDS
        while words not in self.said(output):
            assert time.monotonic() < end, self.said(output)
            assert all(each.poll() in (None, 0) for each in self.running), self.said(output)
            time.sleep(0.2)

    def end(self) -> None:
        for process in reversed(self.running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    found = Hosts(folder=tmp_path)
    try:
        found.make()
        yield found
    finally:
        found.end()


def test_the_page_does_what_it_says(hosts: Hosts) -> None:
    scheduler, worker, night = BLOCKS
    tiny_profile(hosts.home(0), "web", GOOD)
    hosts.start(0, scheduler, "scheduler.txt")
    hosts.eventually("scheduler.txt", "Scheduler at:")
    assert "tls://192.0.2.1:8786" in hosts.said("scheduler.txt")
    shutil.copytree(hosts.home(0) / "keys", hosts.home(1) / "keys")
    serving = hosts.start(1, worker, "worker.txt")
    hosts.eventually("worker.txt", "boots for 192.0.2.1:8786")
    done = hosts.start(0, night, "night.txt")
    assert done.wait(LIMIT_SECONDS) == 0, hosts.said("night.txt")
    assert "ok   machine seabios: " in hosts.said("night.txt")
    [line] = (hosts.home(0) / "build/nightly/history.jsonl").read_text().splitlines()
    attempt = json.loads(line)
    assert (attempt["status"], attempt["profile"], attempt["machine"]) == ("PASS", "web", "seabios")
    run = hosts.home(0) / attempt["run_folder"]
    assert "tiny login" in (run / "console.txt").read_text()
    assert list((hosts.home(1) / "cache").rglob(attempt["sha256"])) != [], "it was booted there"
    assert not (hosts.home(0) / "cache" / "metallize" / "fleet").exists(), "and not here"
    strangers = hosts.start(1, "metallize doctor --fleet 192.0.2.1:8786", "stranger.txt")
    assert strangers.wait(LIMIT_SECONDS) == 2
    assert "without keys nobody is spoken to" in hosts.said("stranger.txt")
    others = "metallize worker --make-keys others; metallize doctor --fleet 192.0.2.1:8786 --keys others"
    assert hosts.start(1, others, "others.txt").wait(LIMIT_SECONDS) == 3
    os.killpg(serving.pid, signal.SIGINT)
    serving.wait(60)
    assert list((hosts.home(1) / "cache/metallize/fleet/work").glob("[0-9]*")) == [], "nothing is left of the worker"
