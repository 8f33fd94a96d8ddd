"""The serial login that a profile declares: what a wrong password and the right one prove of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from metallize.deadline import Deadline
from metallize.guest import Guest
from metallize.model.boot import Login
from metallize.model.report import Result, Stage
from metallize.shells.login import LoginOutcome, LoginResult
from metallize.verify.serial_login import AS_THE_RIGHT_ONE, NO_INIT_RULE, judge_wrong, log_in_on_serial
from tests.unit.shells.fakes import ADDS, FakeConsole, FakeWatch, Getty

ASKS = ("admin", "admin\r\nPassword: ")
NO = "\r\nLogin incorrect\r\ndebian login: "
SHELL = "\r\nLinux debian 6.12\r\nadmin@debian:~$ "
WRONG = "right-but-wrong"


class Failing(FakeWatch):
    """Remembers what ended the boot."""

    failed = ""

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None:
        assert remedy
        assert line
        assert cause
        self.failed = rule


@dataclass
class FakeGuest:
    console: FakeConsole
    watch: Failing


def run(
    turns: list[tuple[str, str]],
    greeting: str = "debian login: ",
    stage: Stage = Stage.USERSPACE,
    password: str = "right",  # noqa: S107 - of a fake
) -> tuple[bool, dict[str, Result], Failing]:
    """Whether there is a shell, the results by what is said of them, and the watch."""
    watch = Failing()
    watch.stage = stage
    results: list[Result] = []
    shell = log_in_on_serial(
        cast("Guest", FakeGuest(Getty(greeting, turns).console, watch)),
        Login(user="admin", password=password),
        Deadline.after(20, "a test"),
        position=0,
        given_up=lambda: False,
        suffix="",
        results=results,
    )
    return shell is not None, {result.title.removeprefix("serial login as admin"): result for result in results}, watch


def test_a_wrong_password_and_then_the_right_one() -> None:
    there, results, _ = run([ASKS, (WRONG, NO), ASKS, ("right", SHELL), ADDS])
    assert there
    assert list(results) == [" with a wrong password", ""]
    assert all(result.holds for result in results.values())


def test_a_login_that_refuses_all_has_refused_nothing() -> None:
    there, results, _ = run([ASKS, (WRONG, NO), ASKS, ("right", NO), ASKS, ("right", NO)])
    assert not there
    wrong = results[" with a wrong password"]
    assert not wrong.holds
    assert wrong.claims[0].actual == AS_THE_RIGHT_ONE
    assert not results[""].holds


def test_a_wrong_password_that_is_accepted() -> None:
    _, results, _ = run([ASKS, (WRONG, SHELL), ADDS])
    assert not results[" with a wrong password"].holds
    assert results[" with a wrong password"].claims[0].actual == "accepted"


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (LoginOutcome.REFUSED, LoginOutcome.ACCEPTED, (True, "refused")),
        (LoginOutcome.ENDED, LoginOutcome.ACCEPTED, (True, "refused")),
        (LoginOutcome.REFUSED, LoginOutcome.REFUSED, (False, AS_THE_RIGHT_ONE)),
        (LoginOutcome.ENDED, LoginOutcome.REFUSED, (False, AS_THE_RIGHT_ONE)),
        (LoginOutcome.REFUSED, LoginOutcome.ENDED, (False, AS_THE_RIGHT_ONE)),
        (LoginOutcome.CLOSED, LoginOutcome.ACCEPTED, (False, "the account is closed")),
    ],
)
def test_what_is_known_of_a_wrong_password(wrong: LoginOutcome, right: LoginOutcome, said: tuple[bool, str]) -> None:
    assert judge_wrong(LoginResult(outcome=wrong), LoginResult(outcome=right)) == said


@pytest.mark.parametrize("right", [each for each in LoginOutcome if each is not LoginOutcome.ACCEPTED])
def test_nothing_but_an_accepted_password_makes_another_a_refused_one(right: LoginOutcome) -> None:
    for wrong in LoginOutcome:
        assert not judge_wrong(LoginResult(outcome=wrong), LoginResult(outcome=right))[0]


def test_a_user_without_a_password() -> None:
    there, results, _ = run([("admin", SHELL), ADDS], password="")
    assert there
    assert list(results) == [""]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "fails"), [(Stage.INITRD, True), (Stage.KERNEL, True), (Stage.USERSPACE, False)])
def test_a_shell_without_an_init_ends_the_boot(stage: Stage, fails: bool) -> None:
    there, results, watch = run([ADDS], "root@(none):/# ", stage)
    assert not there
    assert list(results) == [""]
    assert "init=/bin/bash" in results[""].claims[0].actual
    assert watch.failed == (NO_INIT_RULE if fails else "")
