"""Groups of assertions: their commands, a guest's clock after it was put back, and what a snapshot is worth."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.errors import Location
from metallize.guest import Shell
from metallize.model.assertion import Group
from metallize.model.boot import ConsoleRules
from metallize.model.kind import Observation
from metallize.model.report import Status
from metallize.patience import SNAPSHOTS_OLDEST as OLDEST_SECONDS
from metallize.verify.phases import groups, snapshots
from metallize.verify.phases.groups import judge_command, saved_note
from metallize.verify.phases.snapshots import Snapshot, SnapshotFailed, clock_problem
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from tests.unit.console.test_watch import BOOT, Clock, failure

GROUP = Group(name="full", run=("fill",), assertions=(), location=Location(path=Path("p.yaml"), line=7, column=5))


RUN, GOES_ON = groups.plan(cast("VerifyRequest", SimpleNamespace(groups=(GROUP,))))


def seen(stdout: str = "", status: int = 0, stderr: str = "") -> Observation:
    return Observation(status=status, stdout=stdout, stderr=stderr, seconds=0.5)


def test_a_command_must_end_well() -> None:
    good = judge_command(RUN, "fill", seen(), observed="ssh")
    assert (good.holds, good.title, good.location) == (True, "run fill in group full", "p.yaml:7:5")
    bad = judge_command(RUN, "fill", seen(status=1, stderr="no space\n"), observed="ssh")
    assert not bad.holds
    assert bad.claims[0].actual == "1"
    assert bad.note == "no space"
    silent = judge_command(RUN, "fill", None, observed="ssh")
    assert silent.status is Status.UNSEEN
    assert silent.note == "ran `fill`: no answer"


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


class Put:
    """A snapshot that works for so many groups."""

    def __init__(self, works: int) -> None:
        self.works = works
        self.save_seconds, self.restores = 1.0, [1.0]

    def put_back(self, shell: object) -> object:
        self.works -= 1
        if self.works < 0:
            raise SnapshotFailed("the guest's network after it was put back: no SSH server answered")
        return shell


@pytest.mark.parametrize(("works", "left"), [(0, ["two", "three"]), (1, ["three"]), (2, []), (3, [])])
def test_groups_that_are_left_need_a_cold_boot_and_the_report_says_so(
    works: int, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    session = cast("BootSession", SimpleNamespace(boot_seconds=40.0, checklist=None))
    monkeypatch.setattr(snapshots, "save", lambda _session, _shell: Put(works))

    def run_group(_session: object, _checklist: object, group: Group, _shell: object) -> None:
        ran.append(group.name)

    monkeypatch.setattr(groups, "run_group", run_group)
    every = tuple(replace(GROUP, name=name) for name in ("one", "two", "three"))
    running = groups.Groups(session=session, left=every)
    running.from_snapshot(cast("Shell", None))
    assert [group.name for group in running.left] == left
    assert ran == [group.name for group in every if group.name not in left]
    [note] = running.notes
    assert note.startswith("no group begins from the snapshot any more: ") == (works < 3)
    assert not left or note.endswith(f"booted cold for {', '.join(left)}")


def test_a_guest_that_cannot_be_saved_is_booted_cold_for_every_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_session: object, _shell: object) -> None:
        raise SnapshotFailed("`savevm ready`: Device 'x' does not support snapshots")

    monkeypatch.setattr(snapshots, "save", fails)
    running = groups.Groups(session=cast("BootSession", None), left=(GROUP,))
    running.from_snapshot(cast("Shell", None))
    assert running.left == (GROUP,)
    assert running.notes[0].endswith("does not support snapshots; booted cold for full")


def test_a_guest_that_was_saved_long_ago_is_not_put_back() -> None:
    """Its clock would leap by all that time, further than the watchdogs of its services bear."""
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=Clock())
    snapshot = Snapshot(
        session=cast("BootSession", SimpleNamespace(guest=SimpleNamespace(watch=watch))),
        kept=watch.kept(),
        clock_ahead_seconds=0.0,
        save_seconds=2.0,
        saved_at=time.monotonic() - OLDEST_SECONDS - 1,
    )
    with pytest.raises(SnapshotFailed, match="saved 151 s ago"):
        snapshot.put_back(cast("Shell", None))
