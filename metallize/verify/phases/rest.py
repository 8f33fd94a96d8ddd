"""At rest: the system is asked again at the end of a boot, `boot.settle` after it was ready for the first time.

An app that dies some seconds after its start, a service that is started again and again, a root filesystem that the
kernel gives up: whoever looks once sees none of them.
"""

from __future__ import annotations

from metallize.deadline import Deadline
from metallize.model.report import Entry
from metallize.patience import REST_LOOK as LOOK_SECONDS
from metallize.verify.checklist import Turn
from metallize.verify.looks import look, ports, system
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """The system's own entries once more, where somebody logs in."""
    return system.plan(turn, rest=True) if request.has_ways_in else ()


def run(session: BootSession) -> None:
    """Wait for the rest of the time, and look again. Raises GuestFailed."""
    request, watch = session.request, session.guest.watch
    shell = session.best_shell()
    if not request.has_ways_in or shell is None or session.ready_seconds is None:
        return
    session.rest_seconds = watch.seconds
    left = session.ready_seconds + request.boot.settle.total_seconds() - watch.seconds
    watch.wait(lambda: None, Deadline.after(max(0.0, left), "the system to stay as it is"))
    answer = session.observer.run(shell, [*look.PROBES, ports.PROBE], limit_seconds=LOOK_SECONDS)
    *looked, listening = answer.observations
    session.listening = ports.read_ports(listening)
    seen = look.read_look(looked, answer.problem)
    session.checklist.settle(
        *system.judge_look(
            {entry.id.rpartition("/")[2]: entry for entry in session.entries("rest")},
            seen,
            init=request.boot.init,
            observed=shell.name,
            allows=watch.allows,
            first=session.first_look,
        )
    )
