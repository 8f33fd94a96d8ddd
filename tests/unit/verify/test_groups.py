"""Groups of assertions: their commands, a guest's clock after it was put back, and what a snapshot is worth."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from metallize.errors import Location
from metallize.model.assertion import Group
from metallize.model.kind import Observation
from metallize.model.profile import ConsoleRules
from metallize.qemu.rules import Scanner
from metallize.qemu.watch import BootWatch
from metallize.verify.groups import judge_command, saved_note
from metallize.verify.session import BootSession
from metallize.verify.snapshots import Snapshot, clock_problem
from tests.unit.qemu.test_watch import BOOT, Clock, failure

GROUP = Group(name="full", run=("fill",), assertions=(), location=Location(path=Path("p.yaml"), line=7, column=5))


def seen(stdout: str = "", status: int = 0, stderr: str = "") -> Observation:
    return Observation(status=status, stdout=stdout, stderr=stderr, seconds=0.5)


def test_a_command_must_end_well() -> None:
    good = judge_command(GROUP, "fill", seen(), observed="ssh")
    assert (good.holds, good.title, good.location) == (True, "run fill in group full", "p.yaml:7:5")
    bad = judge_command(GROUP, "fill", seen(status=1, stderr="no space\n"), observed="ssh")
    assert not bad.holds
    assert bad.claims[0].actual == "1"
    assert bad.note == "no space"
    assert judge_command(GROUP, "fill", None, observed="ssh").claims[0].actual == "no answer"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("1000\n1001\n", ""),
        ("1000\n1000\n", "it stands still"),
        ("900\n901\n", "it is -99 s off"),
        ("1000\n", "it cannot be set (Operation not permitted)"),
    ],
)
def test_a_clock_that_was_put_back(said: str, problem: str) -> None:
    assert clock_problem(seen(said, stderr="Operation not permitted\n"), 1000.0, 1.0) == problem


def test_what_a_snapshot_is_worth_is_counted_from_what_was_measured() -> None:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=Clock())
    snapshot = Snapshot(
        session=cast("BootSession", None),
        kept=watch.kept(),
        clock_ahead_seconds=0.0,
        save_seconds=2.0,
        restores=[1.0, 2.0, 3.0],
    )
    note = saved_note(snapshot, 40.0)
    assert note.startswith("3 groups from one snapshot: saved in 2.0 s, put back in 2.0 s each,")
    assert note.endswith("where a cold boot took 40.0 s: +72.0 s gained")


def test_a_guest_that_is_put_back_has_not_failed() -> None:
    clock = Clock()
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=clock)
    watch.console_text(BOOT, "debian login: ")
    kept, stage = watch.kept(), watch.stage
    watch.console_text("[FAILED] Failed to start a.service.\n[   12.3] kernel BUG at mm/slub.c:4567!\n", "")
    assert failure(watch, clock).rule == "kernel-oops"
    assert [finding.rule for finding in watch.put_back(kept)] == ["unit-failed"]
    watch.check()
    assert watch.stage is stage
    assert watch.findings == ()
