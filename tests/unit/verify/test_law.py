"""The law of the closed world: whatever is lost or spoilt of what a healthy guest answers, it does not pass.

And the verdict comes in bounded time, whatever is late.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metallize.model.report import Status
from metallize.verify.looks.ports import PROBE
from tests.unit.verify.bad_answers import Answer, Fault
from tests.unit.verify.healthy import LIMIT_SECONDS, verified

EXAMPLES, MANY = 1000, 25_000
"""Of each of the two laws, with every change and each night."""
ANSWERS = len(verified()[1].said)
LISTENING = {f"{way}: {PROBE[:40]}" for way in ("ssh", "serial")}
"""Asked for, and no assertion: a release that has a rule for it is refused without (unit/release/test_rules.py)."""
LONGEST_SECONDS = 20 * LIMIT_SECONDS
"""For everything that is asked of it, in two boots, each with its own limit."""


def _spoilt(answer: Answer, text: str) -> Answer:
    return Answer(what=answer.what, text=text)


@st.composite
def spoiling(draw: st.DrawFn) -> Fault:
    """The answers to one question, dropped, cut or garbled."""
    at = draw(st.integers(0, ANSWERS - 1))
    how = draw(st.sampled_from(["drop", "cut", "garble"]))
    share = draw(st.floats(0, 1))
    junk = draw(st.text(st.characters(codec="ascii"), max_size=40))

    def change(answer: Answer) -> Answer | None:
        whole = answer.what.endswith("the batch")
        match how:
            case "cut" if whole:
                judged = max(0, answer.text.rfind(" err "))  # what comes after it says only that all is over
                return _spoilt(answer, answer.text[: int(judged * share)])
            case "garble" if whole:
                return _spoilt(answer, answer.text.replace("mz-", "m-"))
            case "garble" if junk.strip() != answer.text.strip():
                return _spoilt(answer, junk)
            case _:
                return None

    return Fault(at=at, change=change)


def test_a_healthy_guest_passes() -> None:
    report, line, _ = verified()
    assert report.passed, [each for each in report.results if not each.holds]
    assert len(report.results) > 40
    assert line.hit == set()


SPOILT = st.lists(spoiling(), min_size=1, max_size=4)
LATE = st.lists(st.tuples(st.integers(0, ANSWERS - 1), st.floats(0, 4 * LIMIT_SECONDS)), max_size=4)
MOMENT = st.floats(0, 120)


def does_not_pass(faults: list[Fault]) -> None:
    report, line, clock = verified(faults)
    assert clock.now - 1000 < LONGEST_SECONDS
    if line.hit - LISTENING:
        assert not report.passed, sorted(line.hit)
        assert report.failure is not None or report.failed_results


def ends(late: list[tuple[int, float]], ends_after: float) -> None:
    faults = [Fault(at=at, change=lambda answer: answer, delay=delay) for at, delay in late]
    whole, _, clock = verified(faults)
    lasted = clock.now - 1000
    assert lasted < LONGEST_SECONDS + sum(delay for _, delay in late)
    assert {each.status for each in whole.results} <= set(Status)
    report, _, clock = verified(faults, ends_after=min(ends_after, lasted * 0.99))
    assert not report.passed


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(SPOILT)
def test_what_was_not_seen_does_not_pass(faults: list[Fault]) -> None:
    does_not_pass(faults)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(LATE, MOMENT)
@example([], 0.0)
def test_a_guest_that_ends_at_any_moment_does_not_pass(late: list[tuple[int, float]], ends_after: float) -> None:
    ends(late, ends_after)


@pytest.mark.nightly
@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(SPOILT)
def test_many_more_answers_that_were_not_seen(faults: list[Fault]) -> None:
    does_not_pass(faults)


@pytest.mark.nightly
@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(LATE, MOMENT)
def test_many_more_moments_at_which_a_guest_ends(late: list[tuple[int, float]], ends_after: float) -> None:
    ends(late, ends_after)
