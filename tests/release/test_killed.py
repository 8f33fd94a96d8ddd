"""Publishers that are killed, at seeded moments, while clients read all the time: none ever sees half a release."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metallize.deadline import Deadline
from metallize.release.destinations import destination_at
from tests.conftest import ROOT
from tests.release.conftest import KINDS
from tests.release.kinds import Kind, each_pointer, seen_by_clients
from tests.unit.release.wares import released, ware

OLD, NEW = ("20261130.1",), ("20261130.2", "20261130.1")
pytestmark = pytest.mark.slow

PUBLISHERS = """
import json, os, random, signal, sys, tempfile
from pathlib import Path
import boto3
from metallize.release.destinations import destination_at
from metallize.release.objects import uploading
from metallize.release.registry import lock
from metallize.release.registry import uploading as spooling
from tests.unit.release.wares import released, ware

CONTENT = random.Random(2).randbytes(400_000)
uploading.PART_BYTES = 50_000
spooling.PIECE_BYTES = 50_000
lock.REGISTRY_SETTLED = 1.0
tempfile.gettempdir()  # Python tries it with a file, once a process

def publish(place, build, calls, last):
    made, destination, seen = ware(Path(build), CONTENT), destination_at(place), 0
    def audit(event, args):
        nonlocal seen
        if event in calls:
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(audit)
    released(destination, made)
    return seen

for line in sys.stdin:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, b"%d" % publish(*json.loads(line)))
        os._exit(0)
    os.close(writer)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, int(os.read(reader, 20) or 0)]), flush=True)
    os.close(reader)
"""
"""Publishes for each line, in a process that kills itself before its so-manieth call of some; 0 for never."""

Publish = Callable[[str, Path, int], tuple[int, int]]
"""Gives the status of a publisher, and how many calls it made."""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where publishers have their temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def publisher(kind: Kind, scratch: Path) -> Iterator[Publish]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    argv = [sys.executable, "-c", PUBLISHERS]
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def publish(place: str, build: Path, last: int) -> tuple[int, int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([place, str(build), kind.calls, last]) + "\n")
            process.stdin.flush()
            status, calls = json.loads(process.stdout.readline())
            return status, calls

        yield publish
        process.stdin.close()


@contextmanager
def clients(kind: Kind, place: str) -> Iterator[None]:
    """Clients that read all the time what is offered; what any of them sees of a release is whole."""
    ended, rounds, wrong = threading.Event(), [0], []

    def read() -> None:
        while not ended.is_set():
            try:
                offered = each_pointer(kind, place)
            except BaseException as exc:  # noqa: BLE001 - of a thread
                wrong.append(exc)
                return
            if not offered <= {OLD, NEW}:
                wrong.append(AssertionError(offered))
            rounds[0] += 1

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert wrong == []
    assert rounds[0] > 0


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("folder", 50),
        ("s3", 8),
        pytest.param("s3", 50, marks=pytest.mark.nightly),
        ("oci", 8),
        pytest.param("oci", 50, marks=pytest.mark.nightly),
    ],
    indirect=["kind"],
)
def test_killed_at_seeded_moments(kind: Kind, kills: int, tmp_path: Path, publisher: Publish, scratch: Path) -> None:
    """Whatever the moment, clients see the release before or the one after, whole; and the next attempt completes.

    Nor is a file of the killed left among the temporary ones.
    """
    old = ware(tmp_path / "old")
    count = kind.make("count")
    released(destination_at(count), old)
    status, total = publisher(count, tmp_path / "count-build", 0)
    assert status == 0
    assert total >= 50
    moments = [*random.Random(15).sample(range(1, total - 1), kills - 1), total - 1]  # noqa: S311 - the same each time
    outcomes = set()
    for number, moment in enumerate(moments):
        place = kind.make(f"to {number}")
        released(destination_at(place), old)
        with clients(kind, place):
            died = publisher(place, tmp_path / f"new {number}", moment)
            assert died[0] == -signal.SIGKILL, moment
            offered = each_pointer(kind, place)
            assert offered <= {OLD, NEW}, moment
            if kind.at_once:
                assert seen_by_clients(kind, place) in (OLD, NEW), moment
            outcomes |= offered
            done = publisher(place, tmp_path / f"new {number}", 0)
            assert done[0] == 0, moment
        assert seen_by_clients(kind, place) == NEW, moment
        kind.require_nothing_left(place)
    assert outcomes == {OLD, NEW}, "no moment before the switch, or none after it, was among them"
    deadline = Deadline.after(20, "what the killed had is removed")
    while left := [path for path in scratch.rglob("*") if not path.is_dir()]:
        assert not deadline.expired, left
        time.sleep(0.05)


def test_every_destination_is_killed() -> None:
    [mark] = [mark for mark in test_killed_at_seeded_moments.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]  # pytest's
    killed = {(case.values if hasattr(case, "values") else case)[0] for case in mark.args[1]}
    assert killed == set(KINDS)
