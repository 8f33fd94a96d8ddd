"""How long a step takes is known from the last time, and nothing depends on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metallize.events import Event, Note, Outcome, StepFinished, StepStarted
from metallize.paces import Paced
from metallize.render.words import left


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "metallize"


def last(title: str, folder: Path = Path("build")) -> float | None:
    recorder = Recorder()
    Paced(recorder, folder).emit(StepStarted(step="a", title=title))
    [event] = recorder.events
    assert isinstance(event, StepStarted)
    return event.last_seconds


def finish(title: str, seconds: float, outcome: Outcome = Outcome.DONE, folder: Path = Path("build")) -> None:
    Paced(Recorder(), folder).emit(StepFinished(step="a", title=title, outcome=outcome, seconds=seconds))


def test_what_came_to_a_good_end_is_known_the_next_time(cache: Path) -> None:
    assert last("layer a") is None
    finish("layer a", 12.34)
    finish("layer a", 99.0, Outcome.FAILED)
    finish("layer a", 0.0, Outcome.CACHED)
    finish("layer b", 0.5)
    finish("layer \udcff", 3.0)
    assert (last("layer a"), last("layer b"), last("layer \udcff")) == (12.3, None, 3.0)
    assert last("layer a", Path("elsewhere")) is None
    assert [path.name for path in cache.iterdir()] == ["paces.json"]


def test_nothing_else_changes() -> None:
    recorder = Recorder()
    paced = Paced(recorder, Path("build"))
    events: list[Event] = [Note(text="x"), StepFinished(step="a", title="a", outcome=Outcome.DONE, seconds=5.0)]
    for event in events:
        paced.emit(event)
    assert recorder.events == events


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": "y"}', "\0"])
def test_a_file_that_says_nothing_is_as_good_as_none(cache: Path, text: str) -> None:
    cache.mkdir(parents=True)
    (cache / "paces.json").write_text(text)
    assert last("layer a") is None
    finish("layer a", 4.0)
    assert last("layer a") == 4.0


def test_where_nothing_can_be_written_nothing_is(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file, not a folder")
    finish("layer a", 4.0)
    assert last("layer a") is None


def test_only_the_newest_stay(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "paces.json").write_text(json.dumps({f"{Path('build').absolute()}: {n}": 3.0 for n in range(1000)}))
    finish("new", 4.0)
    assert (last("0"), last("1"), last("new")) == (None, 3.0, 4.0)


def test_in_words() -> None:
    assert left(10.0, 34.0) == ", about 24.0 s left"
    assert left(34.0, 34.0) == left(1.0, None) == ""
