"""Real builds with the real engine, of small systems that are made in seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from metallize.build.engines.docker import DockerEngine
from metallize.build.steps import RUN_LABEL
from metallize.deadline import Deadline

BASE = "debian:trixie"
HEADER = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
SYSTEM = f"""\
# What a generator looks for in a system, and nothing that would boot: an image of it is made in seconds.
{HEADER}\
RUN mkdir -p /usr/lib/systemd /usr/share/initramfs-tools/scripts /boot \\
 && touch /usr/lib/systemd/systemd /usr/share/initramfs-tools/scripts/live /usr/sbin/sfdisk /usr/sbin/resize2fs \\
 && touch /usr/bin/busybox \\
 && mkdir -p /usr/share/initramfs-tools/scripts/local-top /usr/lib/metallize \\
 && touch /usr/share/initramfs-tools/scripts/local-top/metallize-ab /usr/lib/metallize/boot-choice \\
 && echo kernel >/boot/vmlinuz-1.0 \\
 && echo initrd >/boot/initrd.img-1.0
"""
PROFILE = """\
platform: linux/amd64
images: [{images}]
output: {{generator: {generator}, file: {file}, version: "1", options: {options}}}
"""
MARK = "METALLIZE_TEST_MARK"


@dataclass(frozen=True)
class Site:
    """A folder with a person's own profiles and layers."""

    folder: Path

    def layer(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    def profile(
        self,
        file: str,
        *layers: str,
        generator: str = "livecd",
        base: str = BASE,
        options: Mapping[str, object] | None = None,
    ) -> Path:
        """A profile for `file` with the small system and the layers on it."""
        if layers == ():
            layers = (self.layer("system.dockerfile", SYSTEM),)
        path = self.folder / f"{Path(file).stem}.yaml"
        images = ", ".join((base, *layers))
        text = PROFILE.format(images=images, generator=generator, file=file, options=json.dumps(dict(options or {})))
        path.write_text(text)
        return path

    @property
    def build(self) -> Path:
        return self.folder / "build"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder of a person's own; its system.dockerfile is the small system."""
    made = Site(tmp_path / "site")
    made.folder.mkdir()
    made.layer("system.dockerfile", SYSTEM)
    return made


Start = Callable[..., "Running"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `metallize ARGS` and read its events; whatever still runs at the end of the test is ended."""
    with ExitStack() as stack:

        def start(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Running:
            running = Running(*args, cwd=cwd, env=env)
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    made = DockerEngine()
    yield made
    made.close()


class Running:
    """`metallize ARGS --json` as a process whose events are read one by one."""

    def __init__(self, *args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.mark = uuid4().hex
        self.events: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "metallize", *(str(arg) for arg in args), "--json"],
            cwd=cwd,
            env={**os.environ, **(env or {}), MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Read events until the wanted one comes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))
            if wanted(self.events[-1]):
                return
        raise AssertionError(f"it ended without that event: {self.events[-3:]}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it, where a test did not come so far."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> tuple[int, str]:
        """Its status and what it said on standard error."""
        out, err = self._process.communicate(timeout=300)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self._process.returncode, err

    def processes(self) -> list[str]:
        """Command lines of what it started and what still runs, found by the mark in their environment."""
        return [" ".join(argv) for argv, environ in _processes() if f"{MARK}={self.mark}" in environ]


def _processes() -> Iterator[tuple[list[str], list[str]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv, environ = ((folder / name).read_text(errors="replace").split("\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        yield argv, environ


def prints(words: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is a line of a tool's output with these words."""
    return lambda event: event["event"] == "step-output" and words in event["line"]


def runs(*words: str) -> bool:
    """Whether a process with these words among its arguments runs on this host, in whatever container."""
    return any(set(words) <= set(argv) for argv, _ in _processes())


def containers(engine: DockerEngine, file: str) -> list[str]:
    """Labels of the containers, running or not, that belong to builds of `file`."""
    found = engine._client.containers.list(all=True, filters={"label": RUN_LABEL}, ignore_removed=True)
    return [label for each in found if (label := str(each.labels[RUN_LABEL])).startswith(file)]


def sealed(engine: DockerEngine, file: str) -> list[str]:
    """Labels of the sealed root filesystems that are kept as images for builds of `file`."""
    found = engine._client.api.images(filters={"label": RUN_LABEL})
    return [label for each in found if (label := str(each["Labels"][RUN_LABEL])).startswith(file)]


def soon(holds: Callable[[], bool], what: str) -> None:
    """Wait for what the engine does on its own a moment later."""
    deadline = Deadline.after(20, what)
    while not holds():
        assert not deadline.expired, what
        time.sleep(0.1)


def leftovers(folder: Path) -> list[str]:
    """What is in a build folder besides locks."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".lock" and path.is_file()
    )
