"""kill -9 of real nights with real guests, at thirty moments: nothing left, nothing lost, nothing booted twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.test_nightly import GOOD, PANIC, tiny_profile
from tests.boot.test_nothing_left import killed_after, left_in, ours, wait_until_gone
from tests.conftest import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.boot, pytest.mark.nightly]
KILLS = 30
GONE_SECONDS = 10.0
"""Not a guest and not an engine's client is there for longer, however busy the host."""
NAMES = ("db", "slow", "web", "wiki")
WORDS = (sys.executable, "-m", "metallize", "nightly", *(f"{name}.yaml" for name in NAMES))
CELLS = sorted([*((name, 1) for name in NAMES), ("web", 2)])
"""Of every night, with its attempts: web's panics, and is booted once more for diagnosis."""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A line of guests of its own, for two of them, and the host's ear for whoever is still there."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    yield {"PYTHONPATH": str(ROOT), "METALLIZE_GUESTS": "2", "XDG_RUNTIME_DIR": str(runtime)}
    assert not wait_until_gone(tmp_path.name)


def write(folder: Path, turn: int) -> None:
    """Four profiles; of one, each turn makes another image."""
    for name in NAMES:
        text = PANIC if name == "web" else GOOD
        says = text.replace("tiny login", f"tiny{turn} login") if name == "wiki" else text
        tiny_profile(folder, name, says, turns=(1 << 28) * (name == "slow"))


def lines(folder: Path) -> list[dict[str, Any]]:
    """The history, every line of which is whole."""
    path = folder / "build/nightly/history.jsonl"
    text = path.read_text() if path.exists() else ""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def run_folders(folder: Path) -> dict[str, int]:
    """How many boots of each profile were begun, ever."""
    return Counter(path.parts[-3] for path in (folder / "build/runs").glob("*/*/*"))


def done(attempts: list[dict[str, Any]], night: str) -> set[str]:
    """The profiles of which that night has all that it will."""
    found = Counter(each["profile"] for each in attempts if each["night"] == night)
    return {name for name in NAMES if found[name] == (2 if name == "web" else 1)}


def under_way(folder: Path) -> str:
    path = folder / "build/nightly/night.json"
    return str(json.loads(path.read_text())["night"]) if path.exists() else ""


def begun(folder: Path, env: dict[str, str]) -> float:
    """A night to its end; how long it took."""
    start = time.monotonic()
    words = (*WORDS, "--confirm-boots", "0", "--bisect-minutes", "0")
    ended = subprocess.run(words, cwd=folder, env={**os.environ, **env}, check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    return time.monotonic() - start


def test_a_night_with_guests_survives_thirty_kills(tmp_path: Path, env: dict[str, str]) -> None:
    """A kill at any moment from its start to its end; whatever night that leaves open, the next start goes on with."""
    write(tmp_path, 0)
    begun(tmp_path, env)
    write(tmp_path, 1)
    whole = begun(tmp_path, env)  # with one image to be made
    chance = random.Random(16)  # noqa: S311 - moments, and no secret
    guests = goes_on = kills = 0
    for number in range(3 * KILLS):
        night, before, folders = under_way(tmp_path), lines(tmp_path), run_folders(tmp_path)
        if not night and number % 3 == 0:
            write(tmp_path, 2 + number)
        goes_on += bool(night) and bool(done(before, night))
        moment = whole * chance.random()
        mark = f"{tmp_path.name}-{number}"
        words = [*WORDS, "--confirm-boots", "0", "--bisect-minutes", "0"]
        processes, ports = killed_after(words, moment, mark, tmp_path, env)
        kills += bool(processes)
        guests += any("metallize-seabios" in command for command in processes.values())
        assert not wait_until_gone(mark, ports, GONE_SECONDS), (
            f"killed after {moment:.2f} s of {whole:.2f} s: {ours(mark)}"
        )
        after = lines(tmp_path)
        assert after[: len(before)] == before, "what was written down stays"
        if night and night == under_way(tmp_path):
            again = {name for name in done(before, night) if run_folders(tmp_path)[name] != folders[name]}
            assert not again, f"after kill {kills}, {again} were booted again"
        if kills == KILLS:
            break
    begun(tmp_path, env)
    assert under_way(tmp_path) == ""
    assert kills == KILLS
    assert guests > KILLS // 3, "many were killed while a guest ran"
    assert goes_on > KILLS // 5, "and many left a night half done"
    attempts = lines(tmp_path)
    nights = {each["night"] for each in attempts}
    for night in nights:
        seen = sorted((each["profile"], each["attempt"]) for each in attempts if each["night"] == night)
        assert seen == CELLS, f"the night of {night} has each cell once"
    assert {each["status"] for each in attempts} == {"PASS", "FAIL"}, "no kill made a verdict of its own"
    assert len({each["run"] for each in attempts}) == len(attempts)
    verified = json.loads((tmp_path / "build/wiki.iso.verification.json").read_text())
    assert verified["sha256"] == attempts_of(attempts, "wiki")[-1]["sha256"], "and what was proven is in its place"
    assert {path.name for path in (tmp_path / "build/runs").rglob("*.lock")} == set()
    for each in attempts:
        assert not left_in(tmp_path / each["run_folder"])


def attempts_of(attempts: list[dict[str, Any]], profile: str) -> list[dict[str, Any]]:
    return [each for each in attempts if each["profile"] == profile]
