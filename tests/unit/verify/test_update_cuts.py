"""Power that goes while an update is written: what is asked of it, and what is made of what the disk shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest

from metallize.errors import HostError
from metallize.files.parts import Part
from metallize.guest import GuestFailed
from metallize.model.boot import Boot
from metallize.model.report import Result, Status
from metallize.qemu.moments import Fault
from metallize.qemu.slots.disk import System
from metallize.qemu.slots.update import Brick, Damage, Seen, Window
from metallize.qemu.write_log import Cut
from metallize.verify.checklist import Checklist
from metallize.verify.phases import update, update_cuts
from metallize.verify.phases.update_cuts import Cuts
from metallize.verify.phases.upkeep import State
from metallize.verify.request import VerifyRequest
from tests.unit.verify.bad_answers import Clock, Line
from tests.unit.verify.healthy import _in_place, request
from tests.unit.verify.test_rollback import URL, Slots, TryingWatch
from tests.unit.verify.test_update import LOGINS, OldImage, not_held

UPDATE = {"from": "old.img", "engine": "sysupdate", "power_cuts": {"boots": 2, "moments": 10, "seed": 7}}
SEEN = Seen(tried=700, writes=90, seconds=30.0, started={"web_1": 600, "web_2": 100}, checks=10, esps=80)
BRICK = Brick(
    cut=Cut(flushed=41), problem="EFI/Linux/web_2+3-0.efi would be started", write="write 41, of 512 bytes at 9"
)


def asked(**changes: object) -> VerifyRequest:
    boot = Boot.model_validate({**LOGINS, "update": {**UPDATE, **changes}})
    return replace(request(with_assertions=False), boot=boot)


def test_it_is_planned_after_the_update() -> None:
    ids = [entry.id for entry in update.plan(asked())]
    begin = ids.index("update/update/guest") + 1
    each = ["back", "install/1", "restart", "version", "state"]
    assert ids[begin:] == [
        "update/update/starts",
        "update/update/esp",
        "update/update/filesystems",
        *(f"update-cut-1/update/{name}" for name in each),
        *(f"update-cut-2/update/{name}" for name in each),
    ]
    assert not any(entry.id.endswith("/starts") for entry in update.plan(asked(power_cuts=None)))


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (SEEN, Status.HELD),
        (replace(SEEN, bricks=(BRICK,)), Status.FAILED),
        (replace(SEEN, writes=0), Status.UNSEEN),
        (replace(SEEN, tried=0), Status.UNSEEN),
    ],
)
def test_what_would_be_started_is_judged(seen: Seen, status: Status) -> None:
    entry = Checklist(update.plan(asked()))["update/update/starts"]
    result = update_cuts.judge_starts(entry, seen, 7)
    assert result.status is status
    if status is Status.FAILED:
        assert result.claims[1].attribute == "after write 41 (write 41, of 512 bytes at 9)"
    if status is Status.HELD:
        assert "(1400 a minute): web_1 at 600, web_2 at 100" in result.note


DAMAGE = Damage(
    cut=Cut(flushed=41), problem="/x  and; /y; share clusters.", write="write 41, of 512 bytes at 9", started="web_1"
)
LOST = replace(DAMAGE, lost="once it is mended: nothing would be started")


@pytest.mark.parametrize(
    ("seen", "status", "actual"),
    [
        (SEEN, Status.HELD, "whole at all, 80 different ones"),
        (replace(SEEN, damages=(DAMAGE,)), Status.HELD, "damaged at 1 of 700 moments, mended each time"),
        (replace(SEEN, damages=(DAMAGE, LOST)), Status.FAILED, "damaged at 2 of 700 moments, for good at 1"),
        (replace(SEEN, esps=0), Status.UNSEEN, ""),
    ],
)
def test_a_damaged_fat_is_told_though_it_is_read(seen: Seen, status: Status, actual: str) -> None:
    entry = Checklist(update.plan(asked()))["update/update/esp"]
    result = update_cuts.judge_esps(entry, seen)
    assert result.status is status
    if result.claims:
        assert result.claims[0].actual == actual
    if seen.damages:
        assert "(write 41, of 512 bytes at 9): /x  and; /y; share clusters.; started: web_1" in result.note
    if status is Status.FAILED:
        assert result.claims[1].actual == "once it is mended: nothing would be started"


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (SEEN, Status.HELD),
        (replace(SEEN, checks=0), Status.UNSEEN),
        (replace(SEEN, faults=(Fault(cut=Cut(flushed=1), partition=7, problem="a\nbad inode"),)), Status.FAILED),
    ],
)
def test_filesystems_are_judged(seen: Seen, status: Status) -> None:
    entry = Checklist(update.plan(asked()))["update/update/filesystems"]
    assert update_cuts.judge_filesystems(entry, seen).status is status


@dataclass
class CutOff(OldImage):
    """A machine that is off, with a log of what it wrote; it comes up as `guest`."""

    guest: Any = None
    plan: Any = None

    @contextmanager
    def switched_on(self, _part: str = "") -> Iterator[Any]:
        self.guest.installed.clear()
        self.guest.boots += 1
        yield self.guest


def cut(seen: Seen = SEEN, *, falls_back: bool = False, **said: object) -> dict[str, Result]:
    wanted = asked()
    clock = Clock()
    guest = Slots(
        line=Line(clock=clock, faults=()),
        watch=TryingWatch(clock=clock),
        clock=clock,
        said={part.replace("_", " "): cast("Any", answer) for part, answer in said.items()},
        token="written",
    )
    checklist = Checklist(update_cuts.plan(wanted))
    assert wanted.boot.update is not None
    disks = (SimpleNamespace(cut=Cut(flushed=number), plan=None) for number in (3, 5))

    @contextmanager
    def disks_of_update(*_: object) -> Iterator[Any]:
        yield disks

    with (
        _in_place(guest),
        mock.patch.object(update_cuts, "check_update", return_value=seen),
        mock.patch.object(update_cuts, "disks_of_update", disks_of_update),
    ):
        Cuts(
            update=wanted.boot.update,
            boot=cast("Any", CutOff(request=wanted, guest=guest)),
            checklist=checklist,
            window=Window(begin_bytes=512, end_bytes=4096),
            new=cast("System", None),
            url=URL,
            version="3" if falls_back else "2",
            before=State(token="written", version="1", kept=()),
        ).run()
    return {result.id: result for result in checklist.results()}


def test_disks_that_come_up_and_are_updated_hold() -> None:
    assert not_held(cut()) == []


def test_nothing_is_booted_where_a_moment_would_brick_the_machine() -> None:
    results = cut(replace(SEEN, bricks=(BRICK,)))
    assert results["update/update/starts"].status is Status.FAILED
    assert results["update-cut-1/update/back"].status is Status.UNSEEN


def test_an_update_that_does_not_complete_fails() -> None:
    results = cut(falls_back=True)
    assert results["update-cut-1/update/version"].status is Status.FAILED
    assert results["update-cut-2/update/version"].status is Status.FAILED


def test_what_was_written_must_be_there() -> None:
    results = cut(**cast("Any", {"cat_/var/tmp": lambda: (0, "another")}))
    assert results["update-cut-1/update/state"].status is Status.FAILED


def test_a_guest_that_fails_on_the_way_fails_the_entry_that_it_was_at() -> None:
    def fails() -> tuple[int, str]:
        raise GuestFailed(cast("Any", SimpleNamespace(rule="kernel-panic", cause="it panicked", context=())))

    results = cut(**cast("Any", {"systemd-sysupdate": fails}))
    assert results["update-cut-1/update/install/1"].status is Status.FAILED
    assert "kernel-panic" in results["update-cut-1/update/install/1"].claims[0].actual


def test_an_image_without_its_parts_is_told() -> None:
    part = Part(suffix=".efi", offset=0, size_bytes=1, sha256="0" * 64)
    with pytest.raises(HostError, match=r"web_2: it has no part .root"):
        update_cuts.new_system([part], "web_2")


def test_only_an_engine_with_parts_can_be_cut_off() -> None:
    others = {"engine": "rauc", "files": "bundles"}
    for changes in ({"files": "updates"}, {"engine": None, "install": ["a"], "version": "v"}, others):
        with pytest.raises(ValueError, match="`power_cuts` goes by the parts of generator `ab`"):
            asked(**changes)
