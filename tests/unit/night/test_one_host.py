"""Boots in turn on a fleet: all of them on one host, which is of the series' class, or none at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from metallize.model.report import BootReport
from metallize.night.attempt import Attempt, Host
from metallize.night.executors import Booted, Ended, Ground, Work
from metallize.night.history import append, history_path, read
from metallize.night.judging.findings import Kind, Verdict
from metallize.night.judging.judgement import judge
from metallize.night.keeping import keep, kept_folder
from metallize.night.matrix.value import Entry
from metallize.qemu.plan import COUNTED_CLOCK
from tests.unit.night.attempts import attempt, of
from tests.unit.night.simulated import Builds
from tests.unit.night.test_in_turn import FAST, SLOW, booted, digest, put
from tests.unit.report.test_report import PASSED

CLASS = replace(PASSED.accelerator, name="kvm")
ONE, TWO = (Host(id=name, model="a", accelerator="kvm") for name in ("h1", "h2"))
OTHER = Host(id="h3", model="b", accelerator="kvm")


@dataclass
class Hosts:
    """An executor of some hosts; the one that has booted the night's cell is gone afterwards."""

    folder: Path
    after: tuple[Host, ...]
    """Who is there when images are booted in turn."""
    qemu: str = "7.2.1"
    """Of those."""
    here: bool = False
    cores: int = 2
    clock: str = ""
    """Of the guest in which it was slower; by now the host is as slow as suits the other."""
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def session(self, _ground: Ground) -> Iterator[Hosts]:
        yield self

    def lacks(self, _entry: Entry) -> str:
        return ""

    def boot_all(self, works: Sequence[Work], ended: Ended) -> None:
        for number, _ in enumerate(works):
            assert not ended(number, Booted(report=self._report(SLOW, 9.0, "7.2.1", self.clock), host=ONE))

    def missing(self, host: Host) -> str:
        return "" if host.id in {each.id for each in self.after} else f"{host.id} is no worker now"

    def stand_in(self, host: Host) -> Host | None:
        return next((each for each in self.after if each.model == host.model), None)

    def boot(self, work: Work, host: Host) -> Booted:
        content = work.image().path.read_bytes()
        self.asked.append(host.id)
        kernel = {FAST: 5.0, SLOW: 9.0}[content] + len(self.asked) / 100
        clock = ("" if self.clock else COUNTED_CLOCK) if work.request.clock is None else work.request.clock
        return Booted(report=self._report(content, kernel, self.qemu, clock), host=host)

    def _report(self, content: bytes, kernel: float, qemu: str, clock: str) -> BootReport:
        return replace(booted(content, kernel, self.folder), accelerator=CLASS, qemu=qemu, clock=clock)


def a_night(folder: Path, monkeypatch: pytest.MonkeyPatch, hosts: Hosts, before: Sequence[Attempt] = ()) -> Attempt:
    """The line that says what came of the boots in turn."""
    host = replace(ONE, qemu="7.2.1", clock=hosts.clock)
    nights = [
        attempt(
            number, sha256=digest(FAST), host=host, cell=of("app"),
            stages=MappingProxyType({"kernel": 5 + number % 3 / 10, "userspace": 9.0, "ready": 15 + number % 3 / 10}),
        )
        for number in range(1, 11)
    ]  # fmt: skip
    append(history_path(folder), [*nights, *before])
    keep(kept_folder(folder), put(folder, FAST), digest(FAST))
    put(folder, SLOW)
    builds = Builds({"app": (booted(SLOW, 9.0, folder),)}, emulated=False).install(monkeypatch)
    made = builds.night(folder, builds.candidate("app"), executor=hosts)
    return [each for each in made if each.confirms and not each.cut][-1]


def verdict(folder: Path) -> Verdict:
    found = judge(read(history_path(folder)).attempts, lambda _sha256: None).findings
    return [each for each in found if each.kind is Kind.TIME][-1].verdict


def test_they_are_made_where_the_suspicion_arose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(tmp_path, after=(TWO, ONE))
    assert a_night(tmp_path, monkeypatch, hosts).attempt == 10
    assert hosts.asked == ["h1"] * 10
    assert verdict(tmp_path) is Verdict.WORSE


@pytest.mark.parametrize("clock", ["", COUNTED_CLOCK])
def test_their_clock_is_that_of_the_guest_in_which_it_was_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """A host crosses the slowness at which it changes from one boot to the next."""
    hosts = Hosts(tmp_path, after=(ONE,), clock=clock)
    assert a_night(tmp_path, monkeypatch, hosts).attempt == 10
    assert verdict(tmp_path) is Verdict.WORSE


def test_where_that_host_is_gone_another_of_its_class_makes_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(tmp_path, after=(OTHER, TWO))
    assert a_night(tmp_path, monkeypatch, hosts).host.id == "h2"
    assert hosts.asked == ["h2"] * 10
    assert verdict(tmp_path) is Verdict.WORSE


def test_where_no_host_of_its_class_is_left_it_stays_unconfirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(tmp_path, after=(OTHER,))
    assert a_night(tmp_path, monkeypatch, hosts).reason == "h1 is no worker now"
    assert hosts.asked == []
    assert verdict(tmp_path) is Verdict.SUSPECT


def test_another_qemu_makes_another_class_and_that_is_seen_at_the_first_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(tmp_path, after=(TWO,), qemu="9.2")
    line = a_night(tmp_path, monkeypatch, hosts)
    assert "h2 is another host by now, or has another QEMU, than where it was slower: a, QEMU 9.2" in line.reason
    assert len(hosts.asked) == 1
    assert verdict(tmp_path) is Verdict.SUSPECT
