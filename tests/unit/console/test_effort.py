"""Whether a process works or waits, seen on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from metallize.command import spawn
from metallize.console.effort import Idleness, busy_seconds

SPAN = 0.5


@pytest.fixture
def spinning() -> Iterator[int]:
    code = "print(flush=True)\nwhile True: pass"
    with spawn([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def idle_seconds(pid: int) -> float:
    idleness = Idleness()
    idleness.busy = lambda: busy_seconds(pid)
    since = time.monotonic()
    idleness.seconds(since, time.monotonic())
    time.sleep(SPAN)
    return idleness.seconds(since, time.monotonic())


def test_a_process_that_spins_is_never_idle(spinning: int) -> None:
    assert idle_seconds(spinning) < 0.1


def test_two_that_share_a_processor_are_busy_both(spinning: int) -> None:
    """One that waits for a processor has work to do: a host that others use makes nobody idle."""
    one = min(os.sched_getaffinity(0))
    os.sched_setaffinity(spinning, {one})
    with spawn([sys.executable, "-c", "while True: pass"]) as other:
        os.sched_setaffinity(other.pid, {one})
        assert idle_seconds(spinning) < 0.1
        other.kill()


def test_a_process_that_sleeps_is_idle() -> None:
    with spawn(["sleep", "60"]) as process:
        assert idle_seconds(process.pid) == pytest.approx(SPAN, abs=0.1)
        process.kill()


def test_of_one_that_is_gone_nothing_is_known() -> None:
    with spawn(["true"]) as process:
        process.wait()
    assert busy_seconds(process.pid) is None
    assert idle_seconds(process.pid) == 0


def test_a_new_silence_is_counted_anew() -> None:
    busy = [0.0]
    idleness = Idleness()
    idleness.busy = lambda: busy[0]
    assert idleness.seconds(100, 105) == 0
    assert idleness.seconds(100, 125) == 20
    busy[0] = 15.0
    assert idleness.seconds(100, 125) == 5
    assert idleness.seconds(130, 140) == 0
    assert idleness.seconds(130, 150) == 10
