"""Services in a loop of restarts, from what systemctl printed."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.verify.restarts import judge_restarts


def unit(name: str, restarts: int, sub: str = "running", result: str = "success") -> str:
    return f"Result={result}\nNRestarts={restarts}\nId={name}\nSubState={sub}\n\n"


def judged(text: str) -> list[str]:
    observation = Observation(status=0, stdout=text, stderr="", seconds=0.1)
    return [result.title for result in judge_restarts(observation, observed="ssh")]


@pytest.mark.parametrize(
    "text",
    [
        unit("loop.service", 1, sub="auto-restart", result="exit-code"),
        unit("loop.service", 3),
        unit("loop.service", 240, sub="start", result="exit-code"),
    ],
    ids=["it waits to be started again", "it runs, the third time", "it is being started"],
)
def test_a_loop_is_named(text: str) -> None:
    assert judged(unit("fine.service", 1) + text) == ["unit loop.service"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        unit("late.service", 1),
        unit("job.service", 1, sub="auto-restart"),
        unit("serial-getty@ttyS0.service", 7),
        unit("getty@tty1.service", 3, sub="auto-restart", result="exit-code"),
    ],
    ids=["nothing", "one more start", "a clean end", "a getty after logouts", "a getty with no terminal"],
)
def test_what_comes_back_as_it_should_is_none(text: str) -> None:
    assert judged(text) == []


def test_the_count_and_the_state_are_said() -> None:
    observation = Observation(status=0, stdout=unit("x.service", 4, "auto-restart", "signal"), stderr="", seconds=0)
    [result] = judge_restarts(observation, observed="ssh", suffix=" after a reboot")
    assert result.title == "unit x.service after a reboot"
    [claim] = result.claims
    assert (claim.actual, claim.holds) == ("4", False)
    assert "auto-restart, signal" in claim.note


def test_nothing_observed_is_survived() -> None:
    assert judge_restarts(None, observed="ssh") == ()
