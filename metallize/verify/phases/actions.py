"""What is done to a machine on which all holds, and what must hold then: boot.actions, in their order."""

from __future__ import annotations

from contextlib import ExitStack

from metallize.deadline import Deadline
from metallize.guest import Shell, ShellError
from metallize.model.assertion import Assertion
from metallize.model.boot import LinkState
from metallize.model.kind import Claim
from metallize.model.nic import nic_names
from metallize.model.report import Entry, Result
from metallize.patience import ACTIONS_LOGIN as LOGIN_SECONDS
from metallize.shells.ssh import SshAccess, connect
from metallize.verify.checklist import Turn
from metallize.verify.phases import assertions
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """Of each action in the first boot: a new login where SSH is declared, and what must hold then."""
    if not turn.is_first:
        return ()
    entries: list[Entry] = []
    for number, action in enumerate(request.boot.actions):
        suffix = f" after: {action.title}"
        entries.append(turn.entry(f"action/{number + 1}/done", f"done: {action.title}", "action"))
        if request.boot.ssh is not None:
            entries.append(turn.entry(_login(number), f"ssh login as {request.boot.ssh.user}{suffix}", "ssh"))
        entries += assertions.plan(turn, _asked(request, number), place=_place(number), suffix=suffix)
    return tuple(entries)


def run(session: BootSession) -> None:
    """Do them one after the other; every cable is in again afterwards. Raises GuestFailed."""
    request, monitor = session.request, session.guest.monitor
    actions = request.boot.actions
    if not actions or not session.turn.is_first or session.ready_seconds is None:
        return
    shell = session.best_shell()
    if shell is not None:  # its connection may not live on
        session.collect(shell)
    try:
        for number, action in enumerate(actions):
            for name, state in action.link.items():
                monitor.execute("set_link", name=name, up=state is LinkState.UP)
            links = ", ".join(f"{name} {state}" for name, state in action.link.items())
            done = Claim(attribute="links", expected=links, actual=links, holds=True)
            session.checklist.settle(session.entry(f"action/{number + 1}/done").judged(done, observed="qmp"))
            _after(session, number)
    finally:
        for name in nic_names(request.overrides.nics or request.boot.nics or ()):
            monitor.execute("set_link", name=name, up=True)


def _after(session: BootSession, number: int) -> None:
    """A new login where SSH is declared, and the action's own assertions."""
    asked, entries = _asked(session.request, number), session.entries(_place(number))
    with ExitStack() as stack:
        shell = session.best_shell()
        if session.access is not None:
            shell, result = _new_login(session, session.access, session.entry(_login(number)))
            session.checklist.settle(result)
            if shell is not None:
                stack.callback(shell.close)
        if shell is None:
            kinds = session.request.kinds
            session.checklist.settle(*assertions.unobserved(entries, asked, kinds, "nobody could log in after it"))
        else:
            session.checklist.settle(*session.observer.assertions(shell, entries, asked))


def _new_login(session: BootSession, access: SshAccess, entry: Entry) -> tuple[Shell | None, Result]:
    """A login of its own: a connection from before may only seem to be alive."""
    watch = session.guest.watch
    begun = watch.seconds
    limit = Deadline.after(LOGIN_SECONDS * watch.slowness, "a login over SSH")
    try:
        shell = connect(session.guest.host_port(22), access, watch, limit)
    except ShellError as exc:
        shell, actual, note = None, "no login", str(exc)
    else:
        actual, note = "accepted", ""
    claim = Claim(attribute="login", expected="accepted", actual=actual, holds=shell is not None)
    return shell, entry.judged(claim, observed="ssh", seconds=watch.seconds - begun, note=note)


def _login(number: int) -> str:
    return f"action/{number + 1}/login"


def _place(number: int) -> str:
    return f"action/{number + 1}/assert"


def _asked(request: VerifyRequest, number: int) -> tuple[Assertion, ...]:
    return tuple(each for each in request.assertions if each.action == number)
