"""The serial login that a profile declares: a wrong password must be refused, and then the right one must work.

The wrong one goes first: the delay that follows it passes while the system settles, and no getty has to come back.
"""

from __future__ import annotations

from collections.abc import Callable

from metallize.deadline import Deadline
from metallize.guest import Guest
from metallize.model.boot import Login
from metallize.model.report import Result
from metallize.shells.login import UNSEEN, LoginOutcome, LoginResult, SerialLogin
from metallize.shells.serial import SerialShell
from metallize.verify.judge import login_result

WRONG_PASSWORD_SUFFIX = "-but-wrong"  # noqa: S105 - what makes a password wrong


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
    answered = wrong.outcome not in UNSEEN
    begun = watch.seconds
    right = wrong
    if answered and wrong.outcome is not LoginOutcome.ACCEPTED:
        right = _log_in(way_in, login, deadline)
    holds = right.outcome is LoginOutcome.ACCEPTED
    if login.password and answered:
        # where the system's language is not known, the right password tells a refusal from a session that ended
        refused = wrong.outcome is LoginOutcome.REFUSED or (wrong.outcome is LoginOutcome.ENDED and holds)
        results.append(
            login_result(
                f"{title} with a wrong password",
                "login",
                expected="refused",
                actual=str(LoginOutcome.REFUSED if refused else wrong),
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
    return SerialShell(console, watch) if holds else None


def _log_in(way_in: SerialLogin, login: Login, deadline: Deadline) -> LoginResult:
    """The right password; once more when it was refused, for a kernel message may have come between."""
    right = way_in.attempt(login.user, login.password, deadline)
    if right.outcome not in (LoginOutcome.REFUSED, LoginOutcome.ENDED):
        return right
    again = way_in.attempt(login.user, login.password, deadline)
    # a login program that has refused three times in all says nothing more, and getty begins anew
    given_up = right.outcome is LoginOutcome.REFUSED and again.outcome is LoginOutcome.ENDED
    return right if given_up else again
