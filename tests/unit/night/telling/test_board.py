"""The live view of a night: a line for each cell, and how long it goes on."""

from __future__ import annotations

import io
import random
import re
from dataclasses import replace

import pytest
from rich.console import Console

from metallize import pipeline
from metallize.catalog import Catalog
from metallize.events import Event, Overview, Progress, State, StepStarted
from metallize.night.attempt import Status
from metallize.night.matrix.making import matrix_of
from metallize.night.matrix.value import Matrix
from metallize.night.telling.board import Board, Work, left_seconds
from metallize.render import PlainLines
from metallize.render.terminal import Terminal
from tests.unit.night.attempts import attempt, of
from tests.unit.night.matrix.test_value import shipped


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Kept:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)

    @property
    def latest(self) -> Overview:
        return next(each for each in reversed(self.events) if isinstance(each, Overview))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """Three cells of one CPU, of which one was never booted."""
    [first, *_] = matrix_of([shipped("debian13-ext4")], Catalog(), pipeline.Options(), here=False).entries
    known = (("a", 40.0), ("b", 30.0), ("c", None))
    return Matrix(entries=tuple(replace(first, cell=of(name), cpus=1, seconds=each) for name, each in known))


def progress(what: str, seconds: float) -> Progress:
    return Progress(step=f"{what} boot", what=what, stage="kernel", seconds=seconds)


def test_each_cell_has_a_line_that_follows_it(matrix: Matrix) -> None:
    kept, clock = Kept(), Clock()
    board = Board(kept, clock)
    board.emit(progress("a on ovmf", 1.0))
    assert [type(each) for each in kept.events] == [Progress], "before the night is known events go on as they are"
    board.begin(matrix, [], 2)
    assert [(each.what.partition(" ")[0], each.state) for each in kept.latest.lines] == [
        ("c", State.WAITING), ("a", State.WAITING), ("b", State.WAITING),
    ]  # fmt: skip
    assert (kept.latest.left_seconds, kept.latest.is_least) == (40.0, True)
    names = {each.what.partition(" ")[0]: each.what for each in kept.latest.lines}
    board.emit(progress(names["a"], 2.0))
    clock.now += 10
    board.emit(progress(names["a"], 12.0))
    board.emit(progress(names["b"], 0.5))
    lines = {each.what: each for each in kept.latest.lines}
    assert lines[names["a"]].seconds == 12.0
    assert lines[names["b"]].seconds == 0.5
    assert kept.latest.left_seconds == pytest.approx(29.5)
    told = len(kept.events)
    board.emit(progress(names["b"], 1.5))
    assert len(kept.events) == told + 1, "it runs, as was told"
    cell = {str(each.cell): each.cell for each in matrix.entries}
    board.seen(replace(attempt(1, status=Status.FAIL, reason="no login"), cell=cell[names["a"]]), None)
    board.seen(replace(attempt(1, status=Status.PASS), cell=cell[names["b"]]), None)
    lines = {each.what: each for each in kept.latest.lines}
    assert lines[names["a"]].state is State.FAILED
    assert lines[names["a"]].detail.endswith(": no login")
    assert lines[names["b"]].state is State.DONE
    assert kept.latest.left_seconds is None, "of what is left nothing is known"
    board.emit(progress(names["a"], 0.1))
    assert {each.what: each for each in kept.latest.lines}[names["a"]].state is State.RUNNING, "it is booted again"


def test_a_night_that_goes_on_knows_what_is_done_and_boots_in_turn_are_no_cells(matrix: Matrix) -> None:
    kept = Kept()
    board = Board(kept, Clock())
    [a, *_] = matrix.entries
    board.begin(matrix, [replace(attempt(1, status=Status.PASS), cell=a.cell)], 1)
    assert [each.state for each in kept.latest.lines].count(State.DONE) == 1
    told = len(kept.events)
    board.seen(replace(attempt(1, status=Status.PASS), cell=a.cell, confirms="another"), None)
    board.seen(replace(attempt(1, status=Status.PASS), cell=of("unheard of")), None)
    assert len(kept.events) == told


def test_how_long_a_night_goes_on_is_that_of_its_schedule() -> None:
    def of_each(*seconds: float | None, cpus: int = 1) -> list[Work]:
        return [Work(cpus=cpus, seconds=each) for each in seconds]

    assert left_seconds([], 2) is None
    assert left_seconds(of_each(None, None), 2) is None
    assert left_seconds(of_each(None, 10.0), 1) == 10.0
    assert left_seconds(of_each(40.0, 30.0, 20.0), 1) == 90.0
    assert left_seconds(of_each(40.0, 30.0, 20.0), 2) == 50.0
    assert left_seconds(of_each(40.0, 30.0, 20.0), 9) == 40.0
    assert left_seconds(of_each(40.0, 30.0, cpus=64), 2) == 70.0, "one that is larger than the host has all of it"
    small_beside = [Work(cpus=1, seconds=40.0), Work(cpus=2, seconds=30.0), Work(cpus=1, seconds=20.0)]
    assert left_seconds(small_beside, 2) == 70.0
    dice = random.Random(7)  # noqa: S311 - the same each time
    for _ in range(200):
        works, cores = of_each(*(dice.uniform(1, 60) for _ in range(dice.randint(1, 40)))), dice.randint(1, 16)
        took, alone = left_seconds(works, cores), [each.seconds or 0 for each in works]
        assert took is not None
        bound = max(*alone, sum(alone) / cores)
        assert bound - 1e-6 <= took <= bound * 2 - max(alone) / cores + 1e-6  # Graham, 1969


def test_a_terminal_has_a_line_a_cell_and_shows_no_boot_twice(matrix: Matrix) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30, highlight=False, color_system=None)
    renderer, clock = Terminal(console), Clock()
    board = Board(renderer, clock)
    with renderer:
        board.begin(matrix, [], 2)
        names = {str(each.cell).partition(" ")[0]: each.cell for each in matrix.entries}
        what = str(names["a"])
        board.emit(StepStarted(step=f"{what} boot", title="boot a.img and verify it"))
        board.emit(progress(what, 2.0))
        board.seen(replace(attempt(1, status=Status.FAIL, reason="no \x1b[31mlogin"), cell=names["b"]), None)
        with console.capture() as capture:
            console.print(renderer._picture())
    rows = [line.rstrip() for line in capture.get().splitlines()]
    assert re.fullmatch(r"night: 1 of 3, 1 under way, more than [0-9.]+ s left", rows[0]), rows
    assert len(rows) == 4
    assert not any("verify it" in row for row in rows)
    assert any(re.match(rf"» {re.escape(what)} +stage kernel, ", row) for row in rows)
    assert any(re.match(r"✗ b on .*: no .*login", row) and "\x1b" not in row for row in rows), rows
    assert any(re.match(r"  c on .* waits$", row) for row in rows)


def test_more_cells_than_a_terminal_has_lines(matrix: Matrix) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12, highlight=False, color_system=None)
    renderer = Terminal(console)
    board = Board(renderer, Clock())
    [first, *_] = matrix.entries
    many = Matrix(entries=tuple(replace(first, cell=of(f"p{number}"), seconds=1.0) for number in range(100)))
    with renderer:
        board.begin(many, [], 2)
        board.emit(progress(str(many.entries[-1].cell), 0.5))
        with console.capture() as capture:
            console.print(renderer._picture())
    rows = [line.rstrip() for line in capture.get().splitlines()]
    assert len(rows) <= 12
    assert rows[1].startswith("» p99 ")
    assert re.fullmatch(r"  and 9\d more", rows[-1])


def test_without_a_terminal_there_is_a_line_now_and_then(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = io.StringIO(), Clock()
    monkeypatch.setattr("metallize.render.plain.time.monotonic", clock)
    board = Board(PlainLines(stream, verbose=False), clock)
    board.begin(matrix, [], 2)
    for number, each in enumerate(matrix.entries):
        clock.now += 20
        board.seen(replace(attempt(1, status=Status.PASS), cell=each.cell), None)
        assert stream.getvalue().count("\n") == (1, 2, 2)[number]
    assert stream.getvalue().splitlines()[0] == "night: 0 of 3, more than 40.0 s left"
