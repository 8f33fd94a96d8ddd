"""How far a boot on a worker has come: what is told of it, and what is made of whatever comes instead."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.events import Note, Outcome, Overview, Progress, State, StepFinished, StepStarted
from metallize.night.fleet.telling import Boots, FromWorker
from tests.unit.build.conftest import Recorder
from tests.unit.night.attempts import CELL
from tests.unit.night.fleet.conftest import Fleet, FleetNight, eventually


def told(recorder: Recorder) -> list[tuple[str, float]]:
    return [(each.stage, each.seconds) for each in recorder.events if isinstance(each, Progress)]


def boots(recorder: Recorder) -> Boots:
    found = Boots(recorder, clock=iter([10.0, 34.5]).__next__)
    found.begun("k1", CELL, "h1", 60.0)
    return found


def test_stages_are_told_under_the_name_of_the_cell_and_of_the_host() -> None:
    recorder = Recorder()
    found = boots(recorder)
    worker = FromWorker("k1", found.heard)
    worker.reached("image", 0.0)
    worker.emit(Progress(step="verify seabios", what="seabios", stage="kernel", seconds=2.5))
    worker.emit(Note(text="something of the worker's own"))
    found.ended("k1", Outcome.DONE)
    worker.reached("userspace", 9.0)
    assert told(recorder) == [("handed over on h1", 0.0), ("image on h1", 0.0), ("kernel on h1", 2.5)]
    step = f"{CELL} on h1"
    assert recorder.events[0] == StepStarted(step=step, title=step, last_seconds=60.0)
    assert recorder.events[-1] == StepFinished(step=step, title=step, outcome=Outcome.DONE, seconds=24.5)
    progress = [each for each in recorder.events if isinstance(each, Progress)]
    assert {(each.step, each.what, each.last_seconds) for each in progress} == {(step, str(CELL), 60.0)}
    found.ended("k1", Outcome.FAILED)
    assert isinstance(recorder.events[-1], StepFinished)
    assert recorder.events[-1].outcome is Outcome.DONE, "it ends once"


@given(
    st.one_of(
        st.none(), st.integers(), st.text(),
        st.dictionaries(st.sampled_from(["key", "stage", "seconds"]),
                        st.one_of(st.none(), st.text(), st.floats(), st.booleans())),
    )
)  # fmt: skip
def test_whatever_comes_of_the_topic_breaks_nothing(message: object) -> None:
    recorder = Recorder()
    boots(recorder).heard(message)
    assert told(recorder)[0] == ("handed over on h1", 0.0)


def test_a_stage_of_control_characters_is_shown_as_such_and_not_at_any_length() -> None:
    recorder = Recorder()
    boots(recorder).heard({"key": "k1", "stage": "\x1b[31m" + "x" * 900, "seconds": -3})
    [_, (stage, seconds)] = told(recorder)
    assert "\x1b" not in stage
    assert len(stage) < 60
    assert seconds == 0.0


def test_that_nobody_can_be_told_ends_no_boot() -> None:
    def broken(_message: object) -> None:
        raise RuntimeError("the scheduler is gone")

    FromWorker("k1", broken).reached("kernel", 1.0)


@pytest.mark.slow
def test_the_stages_of_real_workers_are_on_the_nights_board(fleet: Fleet, night: FleetNight) -> None:
    """And a worker that is killed has its cell say so, until that is booted by the other."""
    fleet.scheduler()
    one = fleet.worker("one", METALLIZE_GUESTS="1")
    fleet.worker("two", METALLIZE_GUESTS="1")

    def kill() -> None:
        eventually(lambda: any(int(line[2]) == one.pid for line in fleet.lines("begins")), "the first one boots")
        eventually(lambda: any("userspace on " in stage for stage, _ in told(night.events)), "a stage is told")
        one.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    attempts = night.run({"a": "sleep 3", "b": "sleep 3"})
    killer.join()
    assert sorted(str(each.status) for each in attempts) == ["MISS", "PASS", "PASS"]
    host = attempts[-1].host.id
    stages = {each.what: set[str]() for each in night.events.events if isinstance(each, Progress)}
    for each in night.events.events:
        if isinstance(each, Progress):
            stages[each.what].add(each.stage)
    assert stages.keys() == {"a on seabios", "b on seabios"}
    for some in stages.values():
        assert {f"handed over on {host}", f"image on {host}", f"userspace on {host}"} <= some
    lines = [line for each in night.events.events if isinstance(each, Overview) for line in each.lines]
    assert {line.state for line in lines} == {State.WAITING, State.RUNNING, State.FAILED, State.DONE}
    [lost] = {line.detail for line in lines if line.state is State.FAILED}
    assert lost.startswith(f"MISS: the worker on {host} was lost in the middle of the boot")
    ended: list[Any] = [
        each for each in night.events.events if isinstance(each, StepFinished) and " on seabios on " in each.step
    ]
    assert sorted(each.outcome for each in ended) == [Outcome.DONE, Outcome.DONE, Outcome.FAILED]
