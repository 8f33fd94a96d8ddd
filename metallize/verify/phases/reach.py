"""What the host sees of the guest through its network: open ports, what a server says first, HTTP answers."""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import Guest, ShellError
from metallize.model.boot import Reach, ReachTarget, parse_reach_target
from metallize.model.kind import Claim, lines_of
from metallize.model.pattern import parse_line_pattern
from metallize.model.report import Entry, Result
from metallize.patience import REACH_DEFAULT as DEFAULT_SECONDS
from metallize.patience import REACH_HELD as _HELD_SECONDS
from metallize.patience import REACH_LONGEST_PAUSE as LONGEST_PAUSE_SECONDS
from metallize.patience import REACH_LOOK as _LOOK_SECONDS
from metallize.patience import REACH_OVERTIME as OVERTIME_SECONDS
from metallize.qemu.network import CONNECTIONS_COMMAND, connections
from metallize.shells.password_login import PasswordAttempt, try_password
from metallize.verify.checklist import Turn
from metallize.verify.patience import GuestSpan
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from metallize.verify.why.reasons import with_reach_reasons
from metallize.verify.wire import BODY_BYTES, Wire, WireError, ask

_NEVER_TAKEN = (
    "the guest never answered the connection: its firewall drops what comes for the port, or its network is not up"
)
"""The host's side of a forwarded port accepts by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One attempt: what came back, or what went wrong."""

    problem: str = ""
    text: str = ""
    whole: bool = True
    """Whether `text` is all that came."""
    status: int = 0
    attempt: PasswordAttempt | None = None


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """One for each target."""
    return tuple(turn.entry(f"reach/{target}", f"reach {target}", "reach") for target in request.boot.reach)


def run(session: BootSession) -> None:
    """Look at all of them beside each other, and say why one that does not hold cannot. Raises GuestFailed."""
    targets, watch = session.request.boot.reach, session.guest.watch
    entries = [session.entry(f"reach/{target}") for target in targets]
    tasks = [
        session.task("reach", partial(check_reach, session.guest, entry, target, wanted), watch)
        for entry, (target, wanted) in zip(entries, targets.items(), strict=True)
    ]
    longest = max((seconds_of(wanted) for wanted in targets.values()), default=0.0)
    limit = Deadline.after(longest * watch.slowness + OVERTIME_SECONDS, "the guest's ports")
    watch.wait(lambda: all(task.done for task in tasks) or None, limit)
    results = [
        task.value()
        if task.done
        else entry.unseen(f"the look at it did not end within {longest:.0f} s", observed="host")
        for task, entry in zip(tasks, entries, strict=True)
    ]
    session.checklist.settle(*with_reach_reasons(session.observer, session.best_shell(), results, targets))


def seconds_of(wanted: Reach) -> float:
    """How long a target is tried, on a host of normal speed."""
    return wanted.timeout.total_seconds() if wanted.timeout else DEFAULT_SECONDS


def check_reach(guest: Guest, entry: Entry, target_text: str, wanted: Reach) -> Result:
    """Try until everything that is wanted of a target holds, or its time is over. Raises GuestFailed.

    That is the time of a host of normal speed, and on any host that of a guest that only waits.
    """
    target = parse_reach_target(target_text)
    begun = time.monotonic()
    span = GuestSpan(guest.watch, seconds_of(wanted), f"reach {target_text}", most=math.inf)
    attempts = 0
    while True:
        attempts += 1
        seen = look_at(guest, target, wanted, span.deadline)
        guest.watch.check()
        claims = judge_reach(target, wanted, seen)
        holds = all(claim.holds for claim in claims)
        if holds or span.over:
            break
        pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2**attempts, max(0.5, span.waiting_left))
        guest.watch.wait(lambda: None, span.deadline.sooner(pause, "another attempt"))
    return entry.judged(
        *claims,
        observed="host",
        seconds=time.monotonic() - begun,
        note=f"at attempt {attempts}" if attempts > 1 else "",
    )


def judge_reach(target: ReachTarget, wanted: Reach, seen: Seen) -> tuple[Claim, ...]:
    """What was wanted against what was seen; pure."""
    claims = [
        Claim(attribute="reached", expected="an answer", actual=seen.problem or "an answer", holds=not seen.problem)
    ]
    if seen.problem:
        return tuple(claims)
    if wanted.banner is not None:
        pattern = parse_line_pattern(wanted.banner)
        holds = any(pattern.found_in(line) for line in lines_of(seen.text) or [""]) != pattern.inverse
        claims.append(_claim("banner", wanted.banner, seen.text.strip()[:200], holds))
    if wanted.refuses_password is not None:
        claims += _judge_attempt(wanted.refuses_password.user, seen.attempt)
    if target.scheme != "tcp" and wanted.status is not None:
        claims.append(_claim("status", str(wanted.status), str(seen.status), wanted.status == seen.status))
    for source in wanted.body:
        pattern = parse_line_pattern(source)
        found = any(pattern.found_in(line) for line in lines_of(seen.text))
        if pattern.inverse and not found and not seen.whole:
            claims.append(_claim("body", source, f"longer than the {BODY_BYTES >> 20} MiB looked at", holds=False))
        else:
            claims.append(_claim("body", source, seen.text.strip()[:200], found != pattern.inverse))
    return tuple(claims)


def _judge_attempt(user: str, attempt: PasswordAttempt | None) -> tuple[Claim, ...]:
    """A password that is wrong is refused by every server: that it is asked for none at all is what tells."""
    if attempt is None:
        return (_claim(f"password of {user}", "refused", "not tried", holds=False),)
    allowed = ", ".join(attempt.allowed) or "nothing"
    return (
        _claim(f"logins that {user} is offered", "none by password", allowed, not attempt.asks),
        _claim(f"password of {user}", "refused", attempt.answer, attempt.refused),
    )


def _claim(attribute: str, expected: str, actual: str, holds: bool) -> Claim:
    return Claim(attribute=attribute, expected=expected, actual=actual, holds=holds)


def look_at(guest: Guest, target: ReachTarget, wanted: Reach, deadline: Deadline) -> Seen:
    """One attempt."""
    port, login = guest.host_port(target.port), wanted.refuses_password
    at_least = Deadline.after(max(1.0, deadline.remaining), deadline.purpose)
    try:
        if target.scheme != "tcp":
            host, tls = f"localhost:{target.port}", target.scheme == "https"
            answer = ask(port, host, target.path, at_least, guest.watch.check, tls=tls)
            return Seen(text=answer.body.decode(errors="replace"), whole=answer.whole, status=answer.status)
        seen = _tcp(guest, port, at_least, wants_text=wanted.banner is not None or login is not None)
        if login is None or seen.problem:
            return seen
        return replace(seen, attempt=try_password(port, login.user, login.password, deadline))
    except (OSError, http.client.HTTPException, ShellError, WireError, HostError) as exc:
        return Seen(problem=f"{exc or type(exc).__name__}")


def _tcp(guest: Guest, port: int, deadline: Deadline, *, wants_text: bool) -> Seen:
    """A server that says something is there; of one that says nothing QEMU must say that the guest took the connection.

    Raises HostError where QEMU does not say.
    """
    before = _states(guest, port)
    limit = deadline.sooner(10.0, "a word")
    with closing(Wire(port, Deadline(math.inf, "a connection"), guest.watch.check)) as wire:
        taken: float | None = None
        while not limit.expired:
            data = wire.said(_LOOK_SECONDS)
            if data:
                return Seen(text=data.decode(errors="replace"))
            if data is not None:
                how = "nothing listens there" if taken is None else "it was taken, and nothing was said on it"
                return Seen(problem=f"the connection was closed: {how}")
            if taken is None and any(is_taken for each, is_taken in _states(guest, port).items() if each not in before):
                taken = time.monotonic()
            if taken is not None and not wants_text and time.monotonic() - taken >= _HELD_SECONDS:
                return Seen()
    if taken is None:
        return Seen(problem=_NEVER_TAKEN)
    return Seen(problem="connected, but nothing was said on the connection in time")


def _states(guest: Guest, port: int) -> Mapping[int, bool]:
    """The connections through a port of the host, and whether the guest has taken each."""
    text = str(guest.monitor.execute("human-monitor-command", **{"command-line": CONNECTIONS_COMMAND}))
    return {each.descriptor: each.taken for each in connections(text) if each.host_port == port}
