"""The serial login that a profile declares: a wrong password must be refused, and then the right one must work.

The wrong one goes first: the delay that follows it passes while the system settles, and no getty has to come back.
"""

from __future__ import annotations

from collections.abc import Callable

from metallize.deadline import Deadline
from metallize.guest import Guest
from metallize.model.boot import Login
from metallize.model.report import Result, Stage
from metallize.shells.login import UNSEEN, LoginOutcome, LoginResult, SerialLogin
from metallize.shells.serial import SerialShell
from metallize.verify.judge import login_result

WRONG_PASSWORD_SUFFIX = "-but-wrong"  # noqa: S105 - what makes a password wrong
AS_THE_RIGHT_ONE = "refused, as the right one was"
NO_INIT_RULE = "shell-instead-of-login"
NO_INIT = "a shell stands on the console, and no init system runs: the kernel was told to start one (init=/bin/bash?)"
NO_INIT_REMEDY = "take init= (or rdinit=) from the kernel's command line, which is kernel_boot_params of the profile"


def log_in_on_serial(
    guest: Guest,
    login: Login,
    deadline: Deadline,
    *,
    position: int,
    given_up: Callable[[], bool],
    suffix: str,
    results: list[Result],
) -> SerialShell | None:
    """Log in; what was seen is added to `results`, and the shell is not started yet. Raises GuestFailed."""
    watch, console = guest.watch, guest.console
    way_in = SerialLogin(console, watch, position=position, given_up=given_up)
    title = f"serial login as {login.user}{suffix}"
    wrong = way_in.attempt(login.user, login.password + WRONG_PASSWORD_SUFFIX, deadline)
    begun = watch.seconds
    answered = wrong.outcome not in (*UNSEEN, LoginOutcome.NO_LOGIN)
    right = _log_in(way_in, login, deadline) if answered and wrong.outcome is not LoginOutcome.ACCEPTED else wrong
    holds = right.outcome is LoginOutcome.ACCEPTED
    if login.password and answered:
        refused, actual = judge_wrong(wrong, right)
        results.append(
            login_result(
                f"{title} with a wrong password",
                "login",
                expected="refused",
                actual=actual,
                holds=refused,
                seconds=0,
            )
        )
    results.append(
        login_result(
            title,
            "login",
            expected="accepted",
            actual=str(right),
            holds=holds,
            seconds=watch.seconds - begun,
            note="" if holds else right.seen,
        )
    )
    if right.outcome is LoginOutcome.NO_LOGIN and watch.stage.rank < Stage.USERSPACE.rank:
        # no init runs, and none will
        watch.fail(NO_INIT_RULE, NO_INIT, remedy=NO_INIT_REMEDY, line=right.seen.rpartition("\n")[2])
        watch.check()
    return SerialShell(console, watch) if holds else None


def judge_wrong(wrong: LoginResult, right: LoginResult) -> tuple[bool, str]:
    """Whether a wrong password was refused, and what is said of it; pure.

    That it was is known only where the right one, right after it, worked: a login that refuses all refuses nothing.
    Where the system's language is not known, that also tells a refusal from a session that ended.
    """
    no = (LoginOutcome.REFUSED, LoginOutcome.ENDED)
    if wrong.outcome not in no or right.outcome is LoginOutcome.ACCEPTED:
        refused = wrong.outcome in no
        return refused, str(LoginOutcome.REFUSED if refused else wrong)
    if right.outcome in no:
        return False, AS_THE_RIGHT_ONE
    return False, f"refused, but the right one did not get in either: {right.outcome}"


def _log_in(way_in: SerialLogin, login: Login, deadline: Deadline) -> LoginResult:
    """The right password; once more when it was refused, for a kernel message may have come between."""
    right = way_in.attempt(login.user, login.password, deadline)
    if right.outcome not in (LoginOutcome.REFUSED, LoginOutcome.ENDED):
        return right
    again = way_in.attempt(login.user, login.password, deadline)
    # a login program that has refused three times in all says nothing more, and getty begins anew
    given_up = right.outcome is LoginOutcome.REFUSED and again.outcome is LoginOutcome.ENDED
    return right if given_up else again
