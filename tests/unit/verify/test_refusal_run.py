"""Watching an image that must be refused, to its end: how long, what is settled, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import GuestFailed
from metallize.model.boot import Boot, ConsoleRules
from metallize.model.outcome import Outcome
from metallize.model.report import Finding, Severity, Stage, Status
from metallize.patience import REFUSAL_LEAST as LEAST_SECONDS
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import console
from metallize.verify.phases.refusal import STOPPED, await_refusal, judge_refusal, plan, run
from metallize.verify.session import BootSession
from tests.unit.verify.test_console_end import Ends, ended
from tests.unit.verify.test_refusal import ANY, ENTRY, Scripted, finding

T = TypeVar("T")
REFUSED = "secure-boot-refused"


class Timed(Scripted):
    """It notes how long each wait may take."""

    def __init__(self, *happens: Stage | str | None, passes: Callable[[], None] = lambda: None) -> None:
        super().__init__(*happens)
        self.stage = Stage.FIRMWARE
        self.limits: list[float] = []
        self.passes = passes
        self.has_ended = False

    def ending(self) -> None:
        self.has_ended = True

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        self.limits.append(deadline.remaining)
        self.passes()
        return super().wait(condition, deadline)


def ran(watch: Timed, expected: Outcome | None = ANY, *, settle: float = 0) -> tuple[Checklist, SimpleNamespace]:
    request = SimpleNamespace(boot=Boot(settle=timedelta(seconds=settle)), refusal=expected)
    [entry] = plan(cast("Any", request), FIRST)
    checklist = Checklist([entry])
    session = SimpleNamespace(
        request=request,
        guest=SimpleNamespace(watch=watch),
        deadline=Deadline.after(50, "a test"),
        checklist=checklist,
        entry=lambda name: checklist[f"boot/{name}"],
        ready_seconds=None,
    )
    try:
        run(cast("BootSession", session))
    except GuestFailed as failed:
        session.failed = failed.finding
    return checklist, session


def test_a_refusal_settles_the_entry_and_the_boot_is_ready() -> None:
    checklist, session = ran(Timed(REFUSED))
    assert checklist.passed
    assert session.ready_seconds is not None
    assert not hasattr(session, "failed")
    assert session.guest.watch.has_ended  # a machine that waits there, and prints nothing, fails no more


@pytest.mark.parametrize("happens", [(REFUSED, "guest-shutdown"), (REFUSED, "unexpected-reset")])
def test_the_watch_goes_on_after_what_ended_it(happens: tuple[str, ...]) -> None:
    _, session = ran(Timed(*happens))
    assert session.guest.watch.went_on == len(happens)


def test_a_boot_settles_the_entry_and_ends_the_verification() -> None:
    checklist, session = ran(Timed(Stage.KERNEL))
    assert [result.status for result in checklist.results()] == [Status.FAILED]
    assert session.failed.rule == "not-refused"
    assert session.ready_seconds is None


def test_an_image_that_must_boot_is_not_watched() -> None:
    with pytest.raises(AssertionError, match="must boot"):
        ran(Timed(), None)


@pytest.mark.parametrize(("settle", "slowness", "seconds"), [(0, 1.0, LEAST_SECONDS), (0, 3.0, 6.0), (5, 2.0, 10.0)])
def test_a_refusal_must_stay_one_as_long_as_this_host_needs(settle: float, slowness: float, seconds: float) -> None:
    watch = Timed(REFUSED)
    watch.slowness = slowness
    ran(watch, settle=settle)
    first, then = watch.limits
    assert first == pytest.approx(50, abs=1)
    assert then == pytest.approx(seconds, abs=0.5)
    assert LEAST_SECONDS == 2.0


@pytest.mark.parametrize("rule", STOPPED)
def test_what_may_follow_a_refusal_is_its_end_and_none_by_itself(rule: str) -> None:
    for happens, status in (((REFUSED, rule), Status.HELD), ((rule,), Status.FAILED)):
        refusal = await_refusal(ENTRY, Outcome(refused=(REFUSED,)), Timed(*happens), Deadline.after(5, "x"), stays=0.1)
        assert refusal.result.status is status, happens
    assert set(STOPPED) == {
        "guest-shutdown",
        "unexpected-reset",
        "bios-nothing-started",
        "silent-console",
        "stage-timeout",
    }


def test_a_machine_that_is_refused_for_ever_is_refused() -> None:
    over = Deadline.after(0, "a test")
    watch = Timed(REFUSED, REFUSED, Stage.KERNEL)
    refusal = await_refusal(ENTRY, ANY, watch, over, stays=0.1)
    assert refusal.result.status is Status.HELD
    assert watch.happens == [Stage.KERNEL]
    # one refusal is not enough though the time is over: what follows it is watched as long as any
    assert await_refusal(ENTRY, ANY, Timed(REFUSED, Stage.KERNEL), over, stays=0.1).failure is not None


def test_the_first_of_several_refusals_is_told() -> None:
    refusal = await_refusal(ENTRY, ANY, Timed(REFUSED, "uefi-shell"), Deadline.after(5, "x"), stays=0.1)
    assert refusal.result.claims[0].actual.startswith(f"{REFUSED}: ")


def test_a_judgement_says_what_was_wanted_and_seen() -> None:
    good = judge_refusal(ENTRY, ANY, finding(REFUSED))
    assert good.result.note == f"{REFUSED}: because"
    assert good.result.claims[0].expected == "refused by firmware or loader"
    silent = Finding(rule="timeout", stage=Stage.FIRMWARE, severity=Severity.FATAL, cause="nothing")
    bad = judge_refusal(ENTRY, ANY, silent)
    assert (bad.result.note, bad.result.claims[0].actual) == ("", "timeout: nothing")


class Dies(Ends):
    """It has failed, which is known when somebody asks for the `at`th time."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        if self.asked == self.at:
            raise GuestFailed(finding("qemu-died"))


@pytest.mark.parametrize(("at", "answer"), [(1, None), (1, HostError("gone")), (2, HostError("gone"))])
def test_a_machine_that_died_is_no_quiet_end(at: int, answer: HostError | None) -> None:
    with pytest.raises(GuestFailed):
        ended(Dies(at), answer)


def settled(answer: object, *, refusal: Outcome | None = None) -> dict[str, str]:
    """What the end of a machine's boots showed, claim by claim."""

    def execute(_command: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = Ends()
    watch.missing = ("never",)
    rules = ConsoleRules(require=("hello", "never"))
    request = SimpleNamespace(boot=Boot(console=rules), refusal=refusal)
    checklist = Checklist(console.plan(cast("Any", request), FIRST))
    guest = SimpleNamespace(watch=watch, monitor=SimpleNamespace(execute=execute))
    session = SimpleNamespace(request=request, guest=guest, checklist=checklist)
    console.settle(cast("BootSession", session), FIRST, Deadline.after(1, "the end"))
    assert all(checklist.is_settled(entry.id) for entry in checklist.entries)
    return {result.id.removeprefix("boot/console/"): result.claims[0].actual for result in checklist.results()}


def test_what_was_seen_at_the_end_is_told() -> None:
    lines = {"require/1": "seen", "require/2": "no such line", "faults": "none"}
    assert settled({"status": "paused"}) == {**lines, "runs": "paused"}
    assert settled({}) == {**lines, "runs": "no answer"}
    assert settled(HostError("gone"), refusal=ANY) == lines, "one that was refused may have stopped"
