"""The moment of a power cut, and what is made of the boot that follows; the guest is a script that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from metallize.deadline import Deadline
from metallize.model.boot import Boot, PowerCut
from metallize.model.kind import Observation
from metallize.model.report import Entry, Result, Status
from metallize.qemu.filesystems import Checked, Partition
from metallize.qemu.moments import Fault, Moments
from metallize.qemu.write_log import Cut as WriteCut
from metallize.verify.checklist import AFTER_POWER_CUT, Checklist
from metallize.verify.looks import identity
from metallize.verify.phases import power_cut
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

KEPT = "kept ext2/ext3\nmachine-id 0123\nend\n"


def planned(boot: Boot) -> list[Entry]:
    request = cast("VerifyRequest", SimpleNamespace(boot=boot, refusal=None, observed=(), has_ways_in=False))
    return [each for each in power_cut.plan(request) if each.phase == "power-cut"]


PLANNED = planned(Boot())


@dataclass
class Answers:
    """In place of an observer: what each probe prints."""

    said: dict[str, str]
    status: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def observations(self) -> list[Observation]:
        return [
            Observation(status=self.status, stdout=self.said.get(probe, ""), stderr="no room", seconds=0)
            for probe in self.asked
        ]

    def run(self, _shell: object, probes: Sequence[str]) -> Answers:
        self.asked = list(probes)
        return self


@dataclass
class FakeShell:
    name: str = "ssh"


@dataclass
class FakeWatch:
    waited: list[float] = field(default_factory=list)

    def wait(self, _condition: object, deadline: Deadline) -> None:
        self.waited.append(deadline.remaining)


@dataclass
class FakeGuest:
    watch: FakeWatch = field(default_factory=FakeWatch)


@dataclass
class FakeSession:
    observer: Answers
    boot_id: str | None = "first"
    guest: FakeGuest = field(default_factory=FakeGuest)
    checklist: Checklist = field(default_factory=lambda: Checklist(PLANNED))

    def best_shell(self) -> FakeShell:
        return FakeShell()

    def entry(self, id_: str) -> Entry:
        return self.checklist[f"power-cut/{id_}"]

    def became(self, id_: str) -> Result:
        [found] = [each for each in self.checklist.results() if each.id == f"power-cut/{id_}"]
        return found


def session(boot_id: str | None = "first", **said: str) -> tuple[BootSession, FakeGuest]:
    probes = {"identity": identity.PROBE, "acknowledged": power_cut._ACKNOWLEDGE, "count": power_cut._COUNT}
    fake = FakeSession(Answers({probes[name]: text for name, text in said.items()}), boot_id)
    return cast("BootSession", fake), fake.guest


def cut(seed: int | None = 7, within: str = "10s") -> tuple[power_cut.Cut, float]:
    options = PowerCut.model_validate({"seed": seed, "within": within})
    ready, guest = session(identity=KEPT, acknowledged="41\n")
    found = power_cut.prepare(options, ready, FakeShell())  # type: ignore[arg-type]  # a shell that nobody runs
    assert isinstance(found, power_cut.Cut)
    return found, guest.watch.waited[0]


def test_a_seed_chooses_the_moment() -> None:
    first, waited = cut()
    assert (first.seed, first.records) == (7, 41)
    assert first.after_seconds == cut()[0].after_seconds
    assert first.after_seconds != cut(seed=8)[0].after_seconds
    assert waited == pytest.approx(first.after_seconds, abs=0.5)
    assert "power_cut: {seed: 7}" in first.note


def test_without_a_seed_each_run_has_its_own_and_says_which() -> None:
    first, second = cut(seed=None)[0], cut(seed=None)[0]
    assert first.seed != second.seed
    assert cut(seed=first.seed)[0].after_seconds == first.after_seconds


def test_a_live_system_only_boots_again() -> None:
    ready, guest = session(identity="kept overlayfs\nend\n")
    found = power_cut.prepare(PowerCut(), ready, FakeShell())  # type: ignore[arg-type]
    assert isinstance(found, power_cut.Cut)
    assert found.records is None
    assert not guest.watch.waited
    assert "plain second boot" in found.note
    assert became(ready, "power-cut/writes").status is Status.HELD


class ReadOnly(Answers):
    """Says who it is, and cannot write."""

    def run(self, _shell: object, probes: Sequence[str]) -> Answers:
        self.asked = list(probes)
        self.status = 0 if identity.PROBE in self.asked else 1
        return self


def test_a_guest_that_cannot_write_is_a_result() -> None:
    ready = cast("BootSession", FakeSession(ReadOnly({identity.PROBE: KEPT})))
    assert power_cut.prepare(PowerCut(), ready, FakeShell()) is None  # type: ignore[arg-type]
    found = became(ready, "power-cut/writes")
    assert found.status is Status.FAILED
    assert "no room" in found.claims[0].actual


@pytest.mark.parametrize("said", [{}, {"identity": "kept ext2/ext3\n"}, {"identity": "end\n"}, {"identity": KEPT}])
def test_a_guest_that_does_not_say_how_much_it_wrote_is_not_cut(said: dict[str, str]) -> None:
    ready, _ = session(**said)
    assert power_cut.prepare(PowerCut(), ready, FakeShell()) is None  # type: ignore[arg-type]
    assert became(ready, "power-cut/writes").status is Status.UNSEEN


def became(after: BootSession, id_: str) -> Result:
    return cast("FakeSession", after).became(id_)


def survivor(boot_id: str | None = "second", **said: str) -> dict[str, Status]:
    after, _ = session(boot_id, **{"identity": KEPT, "count": "41\n", **said})
    power_cut.judge_survivor(cut()[0], after)
    names = ("renewed", "identity", "synced")
    return {name: became(after, f"power-cut/{name}").status for name in names}


def test_what_was_synced_must_be_there() -> None:
    assert set(survivor().values()) == {Status.HELD}
    assert set(survivor(count="44\n").values()) == {Status.HELD}
    assert survivor(count="40\n")["synced"] is Status.FAILED
    assert survivor(count="")["synced"] is Status.UNSEEN


def test_another_boot_of_the_same_machine() -> None:
    assert survivor(boot_id="first")["renewed"] is Status.FAILED
    assert survivor(boot_id=None)["renewed"] is Status.UNSEEN
    assert survivor(identity="kept ext2/ext3\nmachine-id 4567\nend\n")["identity"] is Status.FAILED
    assert survivor(identity="kept ext2/ext3\nmachine-id 0123\n")["identity"] is Status.UNSEEN, "half an answer"


def test_a_damaged_filesystem_fails_with_what_the_check_said() -> None:
    partition = Partition(number=3, start_bytes=1 << 20, size_bytes=1 << 30)
    fine = Checked(partition=partition, kind="ext4", problem="")
    damaged = Checked(partition=partition, kind="ext4", problem="Pass 1\nInode 12 is wrong")
    entry = Checklist(PLANNED)[f"{AFTER_POWER_CUT.name}/power-cut/filesystems"]
    result = power_cut.judge_filesystems(entry, cut()[0], (fine, damaged))
    assert result.status is Status.FAILED
    assert result.title == "filesystems are whole after a power cut"
    good, bad = result.claims
    assert (good.holds, bad.holds, bad.attribute) == (True, False, "partition 3")
    assert "Inode 12" in bad.note
    assert power_cut.judge_filesystems(entry, cut()[0], (fine,)).status is Status.HELD
    assert power_cut.judge_filesystems(entry, cut()[0], ()).status is Status.UNSEEN
    unknown = Checked(partition=partition, kind="", problem="")
    assert power_cut.judge_filesystems(entry, cut()[0], (unknown,)).status is Status.UNSEEN
    assert power_cut.judge_filesystems(entry, cut()[0], (fine, unknown)).status is Status.UNSEEN
    assert power_cut.judge_filesystems(entry, cut()[0], (damaged, unknown)).status is Status.FAILED


def test_other_moments_are_judged_by_the_worst_of_them() -> None:
    asked = planned(Boot(power_cut=PowerCut(seed=3, moments=40)))
    [entry] = [each for each in asked if each.id.endswith("power-cut/moments")]
    assert entry.title == "filesystems are whole at 40 moments after a power cut"
    assert not [each for each in PLANNED if each.id.endswith("power-cut/moments")], "where none are asked for"
    fault = Fault(cut=WriteCut(flushed=7, reached=(8, 9), torn=512), partition=2, problem="Pass 1\nInode 12 is wrong")
    seen = Moments(tried=40, checks=80, writes=900, flushes=30, seconds=12.5)
    held = power_cut.judge_moments(entry, cut()[0], seen)
    assert held.status is Status.HELD
    assert "900 writes and 30 flushes" in held.note
    failed = power_cut.judge_moments(entry, cut()[0], replace(seen, faults=(fault,) * 9))
    assert failed.status is Status.FAILED
    assert len(failed.claims) == 6
    assert failed.claims[0].actual == "damaged at 9 of 40"
    assert "after write 7, with 2 of those" in failed.claims[1].attribute
    assert "Inode 12" in failed.claims[1].note
    for nothing in (None, replace(seen, tried=0), replace(seen, checks=0)):
        assert power_cut.judge_moments(entry, cut()[0], nothing).status is Status.UNSEEN
    live = replace(cut()[0], records=None)
    assert power_cut.judge_moments(entry, live, None).status is Status.HELD


def test_the_forms_of_boot_power_cut() -> None:
    assert Boot.model_validate({"power_cut": True}).power_cut == PowerCut()
    assert Boot.model_validate({"power_cut": False}).power_cut is None
    assert Boot.model_validate({"power_cut": {"seed": 3}}).power_cut == PowerCut(seed=3)
