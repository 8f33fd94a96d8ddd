"""Events as people and machines see them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from metallize.events import Level, Note, Outcome, StepFinished, StepOutput, StepStarted, step
from metallize.render import JsonLines, PlainLines, choose, seconds
from metallize.render.terminal import Terminal

EVENTS = (
    StepStarted(step="a", title="layer a"),
    StepOutput(step="a", line="output [bold]of a[/bold]"),
    StepOutput(step="a", line="  "),
    StepFinished(step="a", title="layer a", outcome=Outcome.CACHED, seconds=0.04),
    StepStarted(step="b", title="image x.iso"),
    StepFinished(step="b", title="image x.iso", outcome=Outcome.FAILED, seconds=125.0, detail="no space"),
    StepFinished(step="c", title="fetch c", outcome=Outcome.NOTHING, seconds=0.5, detail="no registry gave it"),
    Note(text="[red]took[/red] a fallback", level=Level.WARNING),
    Note(text="chose this"),
)
PLAIN = [
    "= layer a cached 0.0 s",
    "✗ image x.iso failed 2 m 05 s (no space)",
    "- fetch c found nothing 0.5 s (no registry gave it)",
    "warning: [red]took[/red] a fallback",
    "note: chose this",
]


def test_plain_lines() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=False) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    assert stream.getvalue().splitlines() == PLAIN


def test_plain_lines_with_everything_that_tools_print() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=True) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["... layer a", "    | output [bold]of a[/bold]", PLAIN[0]]


def test_json_lines() -> None:
    stream = io.StringIO()
    with JsonLines(stream) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["event"] for row in rows] == [
        "step-started", "step-output", "step-output", "step-finished", "step-started", "step-finished",
        "step-finished", "note", "note",
    ]  # fmt: skip
    assert rows[5]["outcome"] == "failed"
    assert rows[5]["detail"] == "no space"
    assert all(isinstance(row["time"], float) for row in rows)


def terminal() -> tuple[Terminal, Console, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, highlight=False, color_system=None)
    return Terminal(console), console, stream


def test_a_terminal_keeps_what_finished_and_takes_the_rest_away() -> None:
    renderer, _, stream = terminal()
    with renderer:
        for event in EVENTS:
            renderer.emit(event)
    text = stream.getvalue()
    assert all(line in text for line in PLAIN)


def test_a_terminal_shows_running_steps_with_the_last_lines_of_their_output() -> None:
    renderer, console, _ = terminal()
    with renderer:
        renderer.emit(StepStarted(step="a", title="layer a"))
        for number in range(20):
            renderer.emit(StepOutput(step="a", line=f"line {number} {'long ' * 40}[x]"))
        with console.capture() as capture:
            console.print(renderer._picture())
        renderer.emit(StepFinished(step="a", title="layer a", outcome=Outcome.DONE, seconds=1))
        with console.capture() as after:
            console.print(renderer._picture())
    lines = [line for line in capture.get().splitlines() if line.strip()]
    assert "layer a 0." in lines[0]
    assert [line.split()[1] for line in lines[1:]] == ["15", "16", "17", "18", "19"]
    assert all(len(line) <= 60 for line in lines)
    assert "layer a" not in after.get()


def test_a_terminal_says_how_long_a_step_goes_on_that_was_timed_before() -> None:
    renderer, console, _ = terminal()
    with renderer:
        renderer.emit(StepStarted(step="a", title="layer a", last_seconds=100.5))
        with console.capture() as capture:
            console.print(renderer._picture())
    assert "s, about 1 m 40 s left" in capture.get()


def test_a_command_in_a_note_can_be_copied_from_a_narrow_terminal() -> None:
    renderer, _, stream = terminal()
    command = "ssh -i /proc/1/fd/3 -o IdentitiesOnly=yes -p 40001 -o StrictHostKeyChecking=no admin@127.0.0.1"
    with renderer:
        renderer.emit(Note(text=f"SSH: {command}"))
    assert command in stream.getvalue()


def test_output_of_a_step_that_is_over_is_no_error() -> None:
    renderer, _, _ = terminal()
    with renderer:
        renderer.emit(StepOutput(step="gone", line="late"))


def test_the_renderer_follows_the_command_line_and_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(as_json=True, verbose=True), JsonLines)
    assert isinstance(choose(as_json=False, verbose=False), PlainLines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(choose(as_json=False, verbose=False), Terminal)
    assert isinstance(choose(as_json=False, verbose=True), PlainLines)


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 m 00 s"), (61.9, "1 m 01 s"), (3600, "60 m 00 s")]
)
def test_times_read_well(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_step_that_raises_is_shown_as_failed() -> None:
    stream = io.StringIO()
    renderer = PlainLines(stream, verbose=False)
    with pytest.raises(KeyboardInterrupt), step(renderer, "a", "layer a"):
        raise KeyboardInterrupt
    assert stream.getvalue().startswith("✗ layer a failed")


def test_quiet_lines_are_warnings_and_what_failed() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=False, quiet=True) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    assert stream.getvalue().splitlines() == [PLAIN[1], PLAIN[3]]
    stream = io.StringIO()
    with JsonLines(stream, quiet=True) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["step-finished", "note"]


def test_coloured_lines_say_the_same() -> None:
    stream = io.StringIO()
    with PlainLines(stream, verbose=False, coloured=True) as renderer:
        for event in EVENTS:
            renderer.emit(event)
    assert stream.getvalue().splitlines() == [
        PLAIN[0],
        f"\x1b[31m{PLAIN[1]}\x1b[0m",
        PLAIN[2],
        f"\x1b[33m{PLAIN[3]}\x1b[0m",
        PLAIN[4],
    ]
