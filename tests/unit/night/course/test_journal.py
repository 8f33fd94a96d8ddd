"""A night that is ended at any moment goes on where it was, and nothing is tried twice that was written down."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metallize import images, pipeline
from metallize.build.store import Stored
from metallize.errors import HostError
from metallize.night.attempt import Attempt, Status
from metallize.night.course import building
from metallize.night.course import journal as journals
from metallize.night.course.journal import GOES_ON, under_way
from metallize.night.history import FOLDER, history_path, read
from tests.unit.build.conftest import Recorder
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import FAILED, PASSED

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
NAMES = ("a", "b", "c", "d")


def journal_of(folder: Path) -> Path:
    return folder / FOLDER / journals.FILE


def builds() -> Builds:
    """Four profiles on two machines, one of which fails; an image is in the build folder once it is made."""
    both = (PASSED, replace(PASSED, machine="ovmf"))
    return Builds({**dict.fromkeys(NAMES, both), "b": (FAILED, replace(PASSED, machine="ovmf"))})


def a_night(folder: Path, made: Builds, names: tuple[str, ...] = NAMES, **said: bool) -> tuple[Attempt, ...]:
    with pytest.MonkeyPatch.context() as patch:
        made.install(patch)
        return made.night(folder, *map(made.candidate, names), **said)


def interrupted(folder: Path, after: int, names: tuple[str, ...] = NAMES) -> Builds:
    """A night that is interrupted at the boot that follows so many."""
    made = builds()

    def boot() -> None:
        if len(made.booted) == after:
            raise KeyboardInterrupt

    made.boot = boot
    with pytest.raises(KeyboardInterrupt):
        a_night(folder, made, names)
    return made


def outcome(attempts: tuple[Attempt, ...]) -> list[tuple[str, int, Status]]:
    return sorted((str(each.cell), each.attempt, each.status) for each in attempts)


@pytest.mark.parametrize("after", range(9))
def test_an_interrupted_night_goes_on(tmp_path: Path, after: int) -> None:
    whole = a_night(tmp_path / "whole", builds())
    first = interrupted(tmp_path / "cut", after)
    assert len(read(history_path(tmp_path / "cut")).attempts) == after
    rest = builds()
    rest.again = FAILED
    attempts = a_night(tmp_path / "cut", rest)
    assert outcome(attempts) == outcome(whole)
    assert len(first.booted) + len(rest.booted) == 9, "eight cells, and one of them twice"
    assert len({each.night for each in attempts}) == 1
    assert len({each.run for each in attempts}) == 9
    assert not journal_of(tmp_path / "cut").exists()
    assert a_night(tmp_path / "cut", builds())[0].night > attempts[0].night, "the next night is another"


def test_what_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = interrupted(tmp_path, 3)
    assert first.made == list(NAMES)
    there = Stored(path=tmp_path / "my.iso", manifest={"sha256": PASSED.sha256})
    monkeypatch.setattr(building, "stored_of", lambda *_args: there)
    rest = builds()
    a_night(tmp_path, rest)
    assert rest.made == []
    assert len(rest.booted) == 6


def test_an_image_that_is_gone_is_made_again_where_a_cell_waits_for_it(tmp_path: Path) -> None:
    interrupted(tmp_path, 2, ("a", "c"))  # both of a's
    rest = builds()
    a_night(tmp_path, rest, ("a", "c"))
    assert rest.made == ["c"]


def test_another_matrix_or_another_day_begins_anew(tmp_path: Path) -> None:
    interrupted(tmp_path, 3)
    other = builds()
    attempts = a_night(tmp_path, other, ("a", "c"))
    assert len(other.booted) == 4
    assert len(attempts) == 4
    interrupted(tmp_path, 3)
    other = builds()
    a_night(tmp_path, other, anew=True)
    assert len(other.booted) == 9


@pytest.mark.parametrize(
    ("age", "goes_on"),
    [(timedelta(), True), (GOES_ON - timedelta(seconds=1), True), (GOES_ON, False), (timedelta(minutes=-1), False)],
)
def test_a_night_goes_on_for_half_a_day(tmp_path: Path, age: timedelta, *, goes_on: bool) -> None:
    events = Recorder()
    with under_way(tmp_path, "key", frozenset(), events, NOW) as journal:
        journal.note("web", "d" * 64)
    with under_way(tmp_path, "key", {journal.night}, events, NOW + age) as later:
        assert later.goes_on is goes_on
        assert later.made == ({"web": "d" * 64} if goes_on else {})
        assert (later.night == journal.night) is goes_on
        later.end()
    with under_way(tmp_path, "key", {journal.night}, events, NOW) as last:
        assert not last.goes_on
        assert last.night == (NOW + timedelta(seconds=1)).isoformat(), "two nights of one second are two"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"night": 3, "made": []}', '{"night": "x", "key": "key", "made": {}}', "\x00"]
)
def test_a_journal_that_is_none_ends_no_night(tmp_path: Path, text: str) -> None:
    path = journal_of(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with under_way(tmp_path, "key", frozenset(), Recorder(), NOW) as journal:
        assert (journal.goes_on, journal.night) == (False, NOW.isoformat())


def test_two_nights_at_once_are_refused(tmp_path: Path) -> None:
    with under_way(tmp_path, "key", frozenset(), Recorder(), NOW):
        second = under_way(tmp_path, "key", frozenset(), Recorder(), NOW)
        with pytest.raises(HostError, match=f"process {os.getpid()} runs a night") as caught, second:
            pytest.fail("it runs")
        assert caught.value.hint == "wait for it, or take another --build-dir"
    with under_way(tmp_path, "key", frozenset(), Recorder(), NOW):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_kill_at_any_moment_costs_no_cell_and_boots_nothing_twice(tmp_path: Path, seed: int) -> None:
    """SIGKILL, as often as it takes until a night comes to its end."""
    rng = random.Random(seed)  # noqa: S311 - moments, and no secret
    folder, log = tmp_path / "build", tmp_path / "booted"
    for _ in range(40):
        known = {(str(each.cell), each.attempt) for each in read(history_path(folder)).attempts}
        log.write_text("")
        child = os.fork()
        if child == 0:
            _night_of_child(folder, log)
        if rng.random() < 0.9:
            time.sleep(rng.uniform(0.0, 0.25))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        history = read(history_path(folder))
        assert not history.unreadable
        booted = Counter(log.read_text().split())
        again = {name for name in booted if (name, 1) in known and name != "b@seabios"}
        assert not again, "what is in the history is not booted again"
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        if history.attempts and not journal_of(folder).exists():
            break  # it was over when it was killed: what begins now is the next one
    else:
        pytest.fail("no night came to its end")
    expected = [(f"{name} on {machine}", 1) for name in NAMES for machine in ("ovmf", "seabios")]
    assert sorted((str(each.cell), each.attempt) for each in history.attempts) == sorted(
        [*expected, ("b on seabios", 2)]
    )
    assert len({each.night for each in history.attempts}) == 1
    assert not journal_of(folder).exists()
    assert json.loads((history_path(folder)).read_text().splitlines()[-1])["schema"] == 1


def _night_of_child(folder: Path, log: Path) -> None:
    """One night in this process, which ends with it."""
    made = builds()
    made.again = FAILED
    status = 1
    try:
        with pytest.MonkeyPatch.context() as patch:
            made.install(patch)
            boot = images.boot_stored

            def logged(profile: object, *args: object) -> object:
                options = args[2]
                assert isinstance(options, pipeline.Options)
                time.sleep(0.01)
                with log.open("a") as file:
                    file.write(f"{profile.name}@{options.machines[0]}\n")  # type: ignore[attr-defined]
                return boot(profile, *args)  # type: ignore[arg-type]

            patch.setattr(images, "boot_stored", logged)
            made.night(folder, *map(made.candidate, NAMES))
            status = 0
    finally:
        os._exit(status)
