"""A night that suspects a time: what it keeps of images, what it boots in turn, and what is told of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from metallize import cli, images, pipeline
from metallize.build.store import Store, Stored
from metallize.errors import ExitCode
from metallize.model.report import BootReport, Stage, StageTime
from metallize.night import keeping
from metallize.night.attempt import Attempt, Status
from metallize.night.confirming import Budget
from metallize.night.gather import this_host
from metallize.night.history import append, history_path, read
from metallize.night.keeping import kept_folder
from metallize.qemu.plan import COUNTED_CLOCK
from tests.unit.build.conftest import Recorder, profile
from tests.unit.night.attempts import attempt, of
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import PASSED

FILE = profile().output.file
FAST, SLOW = b"the image that is fast", b"the image that is slow"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(folder: Path, content: bytes, *, aside: bool = False) -> Store:
    """An image in the build folder, as a build leaves it."""
    store = Store(build_dir=folder, file=FILE)
    new = folder / "new.iso"
    new.write_bytes(content)
    manifest = {"sha256": digest(content), "format": "iso"}
    (store.put_aside if aside else store.publish)(new, manifest)
    return store


def booted(content: bytes, kernel: float, folder: Path) -> BootReport:
    """A report of a boot whose kernel took so long."""
    stages = (
        StageTime(stage=Stage.KERNEL, seconds=1.0),
        StageTime(stage=Stage.USERSPACE, seconds=1.0 + kernel),
        StageTime(stage=Stage.READY, seconds=10.0 + kernel),
    )
    return replace(PASSED, sha256=digest(content), stages=stages, run_folder=folder, seconds=20.0)


@dataclass
class Guests:
    """What boots of kept images show, by their bytes."""

    kernel: Mapping[bytes, float]
    folder: Path
    booted: list[Path] = field(default_factory=list)
    fails_at: int = 0
    clock: str = ""
    """Of the guest that was slower; by now the host is such that it would have the other."""

    def boot(
        self, _profile: object, _catalog: object, _events: object, options: object, stored: Stored, clock: str | None
    ) -> BootReport:
        assert isinstance(options, pipeline.Options)
        assert options.machines == ("seabios",)
        if len(self.booted) + 1 == self.fails_at:
            raise KeyboardInterrupt
        self.booted.append(stored.path)
        content = stored.path.read_bytes()
        report = booted(content, self.kernel[content] + len(self.booted) / 100, self.folder)
        return replace(report, clock=("" if self.clock else COUNTED_CLOCK) if clock is None else clock)


def nights(count: int = 10, clock: str = "") -> list[Attempt]:
    """So many nights of the fast image on this very host."""
    host = replace(this_host(), accelerator=PASSED.accelerator.name, qemu=PASSED.qemu, clock=clock)
    return [
        attempt(
            number, sha256=digest(FAST), host=host, cell=of("app"),
            stages=MappingProxyType({"kernel": 5 + number % 3 / 10, "userspace": 9.0, "ready": 15 + number % 3 / 10}),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def a_night(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    guests: Guests,
    budget: Budget | None = None,
    *,
    goes_on: bool = False,
) -> tuple[Attempt, ...]:
    builds = Builds({"app": (replace(booted(SLOW, 9.0, folder), clock=guests.clock),)}).install(monkeypatch)
    first = images.boot_stored

    def boot(*args: Any) -> BootReport:
        return guests.boot(*args) if builds.booted or goes_on else first(*args)

    monkeypatch.setattr(images, "boot_stored", boot)
    return builds.night(folder, builds.candidate("app"), budget=budget)


def begun(folder: Path, *, kept: bool = True, clock: str = "") -> None:
    """The nights that were, with the last good image kept, and the slow one in its place."""
    append(history_path(folder), nights(clock=clock))
    store = put(folder, FAST)
    if kept:
        keeping.keep(kept_folder(folder), store, digest(FAST))
    put(folder, SLOW)


def told(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["regressions", "--build-dir", str(folder), *words]) == ExitCode.DONE
    return capsys.readouterr().out


@pytest.mark.parametrize("clock", ["", COUNTED_CLOCK])
def test_the_clock_of_the_boots_in_turn_is_that_of_the_guest_that_was_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: str
) -> None:
    begun(tmp_path, clock=clock)
    attempts = a_night(tmp_path, monkeypatch, Guests({FAST: 5.0, SLOW: 9.0}, tmp_path, clock=clock))
    assert {each.host.clock for each in attempts if each.stages} == {clock}
    assert ": confirmed" in told(tmp_path, capsys)


def test_a_slower_image_is_confirmed_in_its_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    guests = Guests({FAST: 5.0, SLOW: 9.0}, tmp_path)
    attempts = a_night(tmp_path, monkeypatch, guests)
    kept = {digest(FAST): "A", digest(SLOW): "B"}
    assert "".join(kept[path.parent.name] for path in guests.booted) == "ABBABAABBA"
    assert read(history_path(tmp_path)).attempts[10:] == attempts
    assert [each.confirms for each in attempts] == ["", *[attempts[0].run] * 11]
    assert len({each.run for each in attempts}) == 12
    assert attempts[-1].reason.endswith("is there no longer, or does not say what it is made of"), "no layer is found"
    text = told(tmp_path, capsys)
    assert text.startswith("WORSE  app on seabios: the stage kernel took 9.00 s")
    assert ": confirmed" in text
    assert ": confirmed" in (tmp_path / "report.html").read_text()
    assert keeping.find(kept_folder(tmp_path), digest(FAST)) is None, "what is good from now on is the slow one"
    assert keeping.find(kept_folder(tmp_path), digest(SLOW)) is not None


def test_noise_is_refuted_in_its_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    a_night(tmp_path, monkeypatch, Guests({FAST: 5.0, SLOW: 5.0}, tmp_path))
    assert "worse" not in told(tmp_path, capsys).lower()
    text = told(tmp_path, capsys, "--all")
    assert "NOISE, CLEARED  app on seabios" in text
    assert ": refuted" in text
    assert ": refuted" in (tmp_path / "report.html").read_text()


def test_without_the_image_before_it_is_unconfirmed_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path, kept=False)
    guests = Guests({}, tmp_path)
    attempts = a_night(tmp_path, monkeypatch, guests)
    assert not guests.booted
    assert [each.status for each in attempts] == [Status.PASS, Status.SKIP]
    why = f"unconfirmed: the last good image, {digest(FAST)[:12]}, is there no longer"
    assert why in told(tmp_path, capsys)
    assert why in (tmp_path / "report.html").read_text()


def test_an_image_that_was_written_to_is_not_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path)
    (kept_folder(tmp_path) / digest(FAST) / FILE).write_bytes(b"another")
    [_, line] = a_night(tmp_path, monkeypatch, Guests({}, tmp_path))
    assert "is there no longer" in line.reason


def test_the_budget_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path)
    guests = Guests({}, tmp_path)
    [_, line] = a_night(tmp_path, monkeypatch, guests, budget=Budget(boots=9))
    assert line.reason == "10 boots more, and of the night's 9 for that 9 are left"
    assert not guests.booted


def test_an_interruption_keeps_the_boots_that_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        a_night(tmp_path, monkeypatch, Guests({FAST: 5.0, SLOW: 9.0}, tmp_path, fails_at=4))
    made = [each for each in read(history_path(tmp_path)).attempts if each.confirms]
    assert [each.attempt for each in made] == [1, 2, 3]
    assert keeping.find(kept_folder(tmp_path), digest(FAST)) is not None, "the rest of the boots need it"


def test_a_night_that_goes_on_makes_the_boots_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    kernel = {FAST: 5.0, SLOW: 9.0}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        a_night(tmp_path, patch, Guests(kernel, tmp_path, fails_at=4))
    rest = Guests(kernel, tmp_path)
    attempts = a_night(tmp_path, monkeypatch, rest, goes_on=True)
    assert [each.attempt for each in attempts if each.confirms and not each.cut] == list(range(1, 11))
    assert len(rest.booted) == 7
    assert len([each for each in attempts if not each.confirms]) == 1
    assert ": confirmed" in told(tmp_path, capsys)


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("aside", [False, True])
def test_what_is_kept_costs_no_room_and_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, aside: bool
) -> None:
    store = put(tmp_path, FAST, aside=aside)
    kept = keeping.keep(kept_folder(tmp_path), store, digest(FAST))
    there = store.kept() if aside else store.any()
    assert kept is not None
    assert there is not None
    assert kept.path.stat().st_ino == there.path.stat().st_ino

    def reads(path: Path) -> str:
        pytest.fail(f"{path} is read again, though nothing has changed")

    monkeypatch.setattr("metallize.build.store.sha256_of", reads)
    assert (store.kept() if aside else store.any()) is not None
    again = (
        keeping.find(kept_folder(tmp_path), digest(FAST)),
        keeping.keep(kept_folder(tmp_path), store, digest(FAST)),
    )
    assert [each and each.path for each in again] == [kept.path, kept.path]
    assert kept.is_untouched


def test_what_is_kept_stays_what_it_was_when_another_comes_in_its_place(tmp_path: Path) -> None:
    store = put(tmp_path, FAST)
    keeping.keep(kept_folder(tmp_path), store, digest(FAST))
    put(tmp_path, SLOW)
    kept = keeping.find(kept_folder(tmp_path), digest(FAST))
    assert kept is not None
    assert kept.path.read_bytes() == FAST
    assert keeping.keep(kept_folder(tmp_path), store, "0" * 64) is None, "the store has no such image"
    assert keeping.find(kept_folder(tmp_path), "../../x") is None


def test_what_a_kill_left_is_kept_anew(tmp_path: Path) -> None:
    store = put(tmp_path, FAST)
    place = kept_folder(tmp_path) / digest(FAST)
    place.mkdir(parents=True)
    (place / FILE).hardlink_to(store.image)  # and no manifest
    assert keeping.find(kept_folder(tmp_path), digest(FAST)) is None
    assert keeping.keep(kept_folder(tmp_path), store, digest(FAST)) is not None
    assert keeping.find(kept_folder(tmp_path), digest(FAST)) is not None


def test_only_what_is_compared_stays(tmp_path: Path) -> None:
    folder = kept_folder(tmp_path)
    for content in (FAST, SLOW):
        keeping.keep(folder, put(tmp_path, content), digest(content))
    (folder / "a file of somebody's").write_text("")
    assert keeping.release(folder, {digest(FAST)}) == (), "the slow one is in its place, and takes no room"
    put(tmp_path, b"a third")
    assert keeping.release(folder, {digest(FAST)}) == (digest(SLOW),)
    assert sorted(path.name for path in folder.iterdir()) == sorted([digest(FAST), "a file of somebody's"])


def test_an_image_that_cannot_be_kept_ends_no_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(keeping, "keep", lambda *_args: (_ for _ in ()).throw(full))
    events = Recorder()
    builds = Builds({"app": (booted(SLOW, 5.0, tmp_path),)}).install(monkeypatch)
    builds.night(tmp_path, builds.candidate("app"), events=events)
    assert any("is not kept" in str(each) and "No space left" in str(each) for each in events.events)
