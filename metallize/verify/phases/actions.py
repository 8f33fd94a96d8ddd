"""What is done to a machine on which all holds, and what must hold then: boot.actions, in their order."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from metallize.deadline import Deadline
from metallize.guest import Shell, ShellError
from metallize.model.assertion import Assertion
from metallize.model.boot import Action, LinkState
from metallize.model.nic import nic_names
from metallize.model.report import Result
from metallize.shells.ssh import connect
from metallize.verify.judge import judge_assertion, login_result
from metallize.verify.session import BootSession

LOGIN_SECONDS = 30.0
"""For a new login over SSH after an action, on a host of normal speed."""


def run_actions(session: BootSession) -> None:
    """Do them one after the other, with their results in the session's; every cable is in again afterwards.

    Raises GuestFailed.
    """
    request, monitor = session.request, session.guest.monitor
    actions = request.boot.actions
    if not actions:
        return
    shell = session.best_shell()
    if shell is not None:  # its connection may not live on
        session.collect(shell)
    try:
        for number, action in enumerate(actions):
            for name, state in action.link.items():
                monitor.execute("set_link", name=name, up=state is LinkState.UP)
            wanted = [each for each in request.assertions if each.action == number]
            session.results += _after(session, action, wanted)
    finally:
        for name in nic_names(request.overrides.nics or request.boot.nics or ()):
            monitor.execute("set_link", name=name, up=True)


def _after(session: BootSession, action: Action, assertions: list[Assertion]) -> list[Result]:
    suffix = f" after: {action.title}{session.suffix}"
    results: list[Result] = []
    with ExitStack() as stack:
        shell = session.best_shell()
        if session.ssh_access is not None:
            shell, result = _new_login(session, suffix)
            results.append(result)
            if shell is not None:
                stack.callback(shell.close)
        if shell is None:
            kinds = session.request.kinds
            return results + [
                judge_assertion(each, kinds[each.kind], None, observed="", suffix=suffix) for each in assertions
            ]
        observer = replace(session.observer, suffix=suffix)
        return results + observer.assertions(shell, assertions)


def _new_login(session: BootSession, suffix: str) -> tuple[Shell | None, Result]:
    """A login of its own: a connection from before may only seem to be alive."""
    watch, access = session.guest.watch, session.ssh_access
    if access is None:
        raise AssertionError("there is no SSH to log in over")
    begun = watch.seconds
    limit = Deadline.after(LOGIN_SECONDS * watch.slowness, "a login over SSH")
    try:
        shell = connect(session.guest.host_port(22), access, watch, limit)
    except ShellError as exc:
        shell, actual, note = None, "no login", str(exc)
    else:
        actual, note = "accepted", ""
    title = f"ssh login as {access.user}{suffix}"
    seconds = watch.seconds - begun
    return shell, login_result(
        title, "ssh", expected="accepted", actual=actual, holds=shell is not None, seconds=seconds, note=note
    )
