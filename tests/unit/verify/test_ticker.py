"""Who waits for a boot sees its stage, its time and the last one's; what lies in a folder of runs may be anything."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metallize.deadline import Deadline
from metallize.errors import BugError
from metallize.events import Event, Events, Named, Note, Outcome, Progress, StepFinished, StepStarted
from metallize.model.report import Stage
from metallize.render import JsonLines, PlainLines
from metallize.render.terminal import Terminal
from metallize.verify.ticker import Ticker, last_seconds


class Recorder:
    def __init__(self, enough: int = 0) -> None:
        self.events: list[Event] = []
        self.enough = threading.Event()
        self._wanted = enough

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        if len(self.events) >= self._wanted:
            self.enough.set()


def run(folder: Path, name: str, **content: Any) -> Path:
    path = folder / name / "report.json"
    path.parent.mkdir(parents=True)
    whole = {"verdict": "passed", "seconds": 41.2, "accelerator": {"name": "tcg"}, **content}
    path.write_text(json.dumps(whole))
    return path


# --- the last time ---------------------------------------------------------------------------------------------------


def test_the_newest_that_passed_counts(tmp_path: Path) -> None:
    run(tmp_path, "20260101T000000Z", seconds=1)
    run(tmp_path, "20260102T000000Z", seconds=2)
    run(tmp_path, "20260103T000000Z", seconds=3, verdict="failed")
    run(tmp_path, "20260104T000000Z", seconds=4, accelerator={"name": "kvm"})
    (tmp_path / "20260105T000000Z").mkdir()  # it goes on
    assert last_seconds(tmp_path, "tcg") == 2
    assert last_seconds(tmp_path, "kvm") == 4


@pytest.mark.parametrize(
    "content",
    [
        {"seconds": "41"},
        {"seconds": None},
        {"seconds": -1},
        {"seconds": 1e999},
        {"verdict": ["passed"]},
        {"accelerator": "tcg"},
        {"accelerator": None},
    ],
)
def test_a_report_that_is_none_is_passed_over(tmp_path: Path, content: dict[str, Any]) -> None:
    run(tmp_path, "20260101T000000Z", seconds=7)
    run(tmp_path, "20260102T000000Z", **content)
    assert last_seconds(tmp_path, "tcg") == 7


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff\xfe", b"[" * 100_000, b"{"])
def test_a_file_that_is_no_report(tmp_path: Path, text: bytes) -> None:
    run(tmp_path, "20260101T000000Z").write_bytes(text)
    assert last_seconds(tmp_path, "tcg") is None


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    path = run(tmp_path, "20260101T000000Z")
    path.unlink()
    os.mkfifo(path)
    (tmp_path / "notes.txt").write_text("x")
    assert last_seconds(tmp_path, "tcg") is None
    assert last_seconds(tmp_path / "nowhere", "tcg") is None
    assert last_seconds(tmp_path / "notes.txt", "tcg") is None


# --- the ticker ------------------------------------------------------------------------------------------------------


def test_it_tells_at_once_at_each_stage_and_in_between() -> None:
    recorder = Recorder(enough=1000)
    with Ticker(recorder, "verify x", "seabios", 41.0, tick_seconds=0.01) as ticker:
        ticker.reached(Stage.KERNEL)
        before = len(recorder.events)  # a tick may have come first
        deadline = Deadline.after(10, "two more ticks")
        while len(recorder.events) < before + 2 and not deadline.expired:
            time.sleep(0.01)
    told = [event for event in recorder.events if isinstance(event, Progress)]
    stages = [each.stage for each in told]
    first = stages.index(Stage.KERNEL)
    assert set(stages[:first]) == {Stage.QEMU}
    assert set(stages[first:]) == {Stage.KERNEL}
    assert first < before
    assert len(stages) >= before + 2
    assert {(each.step, each.what, each.last_seconds) for each in told} == {("verify x", "seabios", 41.0)}
    count = len(recorder.events)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress of seabios"]
    assert len(recorder.events) == count


class Breaks(Recorder):
    def emit(self, event: Event, /) -> None:
        super().emit(event)
        if threading.current_thread() is not threading.main_thread():
            self.enough.set()
            raise ZeroDivisionError("planted")


def _with(events: Events, error: Exception | None = None) -> None:
    with Ticker(events, "s", "seabios", None, tick_seconds=0.01) as ticker:
        assert isinstance(events, Breaks)
        assert events.enough.wait(10)
        ticker._thread.join(10)
        if error is not None:
            raise error


def test_a_bug_in_whoever_is_told_is_raised_at_the_end() -> None:
    with pytest.raises(BugError, match="ZeroDivisionError"):
        _with(Breaks(enough=2))


def test_what_ended_the_body_is_raised_before_it() -> None:
    with pytest.raises(KeyError):
        _with(Breaks(enough=2), KeyError("x"))


# --- how it is shown -------------------------------------------------------------------------------------------------


def progress(seconds: float, machine: str = "seabios", stage: str = "userspace", last: float | None = 41.2) -> Progress:
    return Progress(step=f"verify {machine}", what=machine, stage=stage, seconds=seconds, last_seconds=last)


def test_a_log_gets_a_line_every_half_minute() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=False) as shown:
        for seconds in (0, 3, 20, 30.0, 34, 45, 60.01, 61, 90.1):
            shown.emit(progress(seconds, last=None if seconds > 60 else 41.2))
    assert stream.getvalue().splitlines() == [
        "seabios: stage userspace, 30 s (last time 41 s)",
        "seabios: stage userspace, 60 s",
        "seabios: stage userspace, 90 s",
    ]


def test_two_side_by_side_are_told_apart_and_each_has_its_own_time() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=False) as shown:
        for event in (progress(30), progress(31, "ovmf"), progress(35), progress(36, "ovmf"), progress(60)):
            shown.emit(event)
        shown.emit(StepFinished(step="verify seabios", title="x", outcome=Outcome.DONE, seconds=1))
        shown.emit(progress(30))
    machines = [line.partition(":")[0] for line in stream.getvalue().splitlines() if "stage" in line]
    assert machines == ["seabios", "ovmf", "seabios", "seabios"]


def test_json_has_it_as_an_event() -> None:
    stream = io.StringIO()
    JsonLines(stream).emit(progress(34.5))
    said = json.loads(stream.getvalue())
    del said["time"]
    assert said == {
        "event": "progress",
        "step": "verify seabios",
        "what": "seabios",
        "stage": "userspace",
        "seconds": 34.5,
        "last_seconds": 41.2,
    }


def test_a_terminal_shows_it_beside_the_running_step_alone() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with Terminal(console) as shown:
        shown.emit(StepStarted(step="verify seabios", title="seabios: boot x.iso and verify it"))
        shown.emit(progress(34, stage="\x1b[2Jkernel"))
        console.print(shown._picture())
        shown.emit(StepFinished(step="verify seabios", title="x", outcome=Outcome.DONE, seconds=1))
        shown.emit(progress(35))
        assert not shown._progress
    assert "kernel (last time 41 s)" in stream.getvalue()
    assert "\x1b[2Jkernel" not in stream.getvalue()


def test_notes_begin_with_the_machines_name_once() -> None:
    recorder = Recorder()
    named = Named(recorder, "seabios")
    for event in (Note(text="waits"), Note(text="seabios: waits"), progress(1)):
        named.emit(event)
    assert recorder.events == [Note(text="seabios: waits"), Note(text="seabios: waits"), progress(1)]
