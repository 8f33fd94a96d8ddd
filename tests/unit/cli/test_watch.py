"""`metallize watch`: it goes on after whatever a build ends with, and ends when it is told to."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metallize.commands.line import parse
from metallize.commands.watch import _argv, _watched
from metallize.errors import ExitCode
from tests.conftest import ROOT

from .conftest import Call, write

pytestmark = pytest.mark.slow


class Watching:
    """A `metallize watch` that runs, and the lines that it and its builds have printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def until(self, words: str, count: int = 1) -> str:
        end = time.monotonic() + 60
        while "".join(self.lines).count(words) < count:
            assert time.monotonic() < end, "".join(self.lines)
            time.sleep(0.05)
        return "".join(self.lines)

    def ends(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._thread.join()
        return status


@pytest.fixture
def watching(no_engine: None) -> Iterator[Callable[..., Watching]]:
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> Watching:
            argv = [sys.executable, "-m", "metallize", "watch", *words]
            process = stack.enter_context(
                subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
            stack.callback(process.kill)
            return Watching(process)

        yield start


WAITING = "waiting for a change"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_broken_profile_is_told_of_and_waited_for(watching: Callable[..., Watching], number: signal.Signals) -> None:
    profile = write("generator: livecd", "generator: livedc")
    running = watching(str(profile), "--no-verify")
    said = running.until(WAITING)
    assert "unknown generator `livedc` (did you mean `livecd`?)" in said
    assert "warning: the profile cannot be built as it is; waiting for a change" in said
    Path("notes.txt~").touch()
    profile.write_text("args: [")
    assert "changed: web.yaml" in running.until(WAITING, 2)
    assert "notes.txt" not in "".join(running.lines)
    write()
    said = running.until(WAITING, 3)
    assert "the build ended with status 3" in said, "there is no engine here"
    Path("own.dockerfile").write_text("ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n")
    assert "changed: own.dockerfile" in running.until(WAITING, 4)
    assert running.ends(number) == 0
    assert "Traceback" not in "".join(running.lines)


def test_an_interruption_in_the_middle_of_a_build_ends_both(
    watching: Callable[..., Watching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build hangs in asking an engine that does not answer."""
    write()
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "silent.sock"))
        engine.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/silent.sock")
        running = watching("web.yaml", "--no-verify")
        time.sleep(3)
        assert running.process.poll() is None
        assert WAITING not in "".join(running.lines)
        assert running.ends(signal.SIGINT) == ExitCode.INTERRUPTED
    assert "interrupted; nothing was left behind" in "".join(running.lines)


def test_json_is_json(watching: Callable[..., Watching]) -> None:
    write("generator: livecd", "generator: livedc")
    running = watching("web.yaml", "--json")
    running.until(WAITING)
    assert running.ends(signal.SIGINT) == 0
    events = [json.loads(line) for line in running.lines if line.startswith("{")]
    assert [event["event"] for event in events] == ["error", "note"]


@pytest.mark.parametrize("words", [("nothing.yaml",), ("web.yaml", "--set", "x"), ("web.yaml", "--output", "y.iso")])
def test_what_no_edit_mends_is_refused_at_once(call: Call, words: tuple[str, ...]) -> None:
    write()
    assert call("watch", *words).status == ExitCode.BAD_INPUT


def test_each_build_is_what_a_person_would_type(call: Call) -> None:
    options = parse([
        "watch", "a b.yaml", "--set", "args.x=-1", "--output", "x.iso", "--machine", "ovmf", "--build-dir", "out",
        "--extensions-dir", "more", "--accel", "tcg", "--json", "--verbose", "--capture",
    ])  # fmt: skip
    words = _argv(options)[4:]
    built = parse(words)
    for name in (
        "overrides",
        "outputs",
        "machines",
        "build_dir",
        "extensions_dir",
        "accel",
        "json",
        "verbose",
        "capture",
    ):
        assert getattr(built, name) == getattr(options, name), name
    assert (built.verb, built.profile, built.verify) == ("build", Path("a b.yaml"), True)
    assert not parse(_argv(parse(["watch", "x", "--no-verify"]))[4:]).verify


def test_what_a_profile_depends_on_is_watched(call: Call) -> None:
    Path("common").mkdir()
    Path("common/top.yaml").write_text(write().read_text())
    Path("own").mkdir()
    Path("own/Dockerfile").write_text("ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n")
    Path("mine.yaml").write_text("extends: common/top.yaml\nimages: [own/Dockerfile]\n")
    place = _watched(parse(["watch", "mine.yaml"]), None)
    here = str(Path.cwd())
    for path in ("mine.yaml", "common/top.yaml", "own/Dockerfile", "own/new.conf"):
        assert place.covers(f"{here}/{path}"), path
    assert place.covers(str(ROOT / "layers/debian-live.dockerfile"))
    assert not place.covers(f"{here}/build/web.iso")
    Path("mine.yaml").write_text("extends: [")
    assert _watched(parse(["watch", "mine.yaml"]), place) == place
