"""The first look, once the system has settled: its state, units' budgets and every assertion, in one round trip."""

from __future__ import annotations

from metallize.guest import GuestFailed, Shell
from metallize.model.report import Entry, Finding, Severity, Stage
from metallize.patience import SYSTEM_LEAST_SETTLE as LEAST_SETTLE_SECONDS
from metallize.patience import SYSTEM_SETTLE as SETTLE_SECONDS
from metallize.verify.checklist import Turn
from metallize.verify.looks import look, system
from metallize.verify.phases import assertions, times
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

NO_SHELL = "no shell let anybody look: see the logins"


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """The system's own entries where somebody logs in, and the profile's assertions in any case."""
    own = system.plan(turn) if request.has_ways_in else ()
    return (*own, *assertions.plan(turn, request.observed))


def run(session: BootSession) -> None:
    """Look through the first good shell, then give the other way in its time. Raises GuestFailed."""
    request = session.request
    asked, entries = request.observed, session.entries("assert")
    if not session.ways.are_declared:
        session.checklist.settle(*assertions.unobserved(entries, asked, request.kinds))
        return
    shell = session.ways.first_shell()
    if shell is not None:
        _observe(session, shell)
    session.ways.settle()
    if shell is None:
        _nothing_answered(session)
        late = session.best_shell()
        if late is None:
            session.checklist.settle(*assertions.unobserved(entries, asked, request.kinds, NO_SHELL))
        else:
            _observe(session, late)
    session.steps_done()


def _observe(session: BootSession, shell: Shell) -> None:
    """Run all probes in one round trip, once the system has settled, and judge them."""
    request, observer, watch = session.request, session.observer, session.guest.watch
    asked = request.observed
    units = request.boot.time.units
    own = [*look.PROBES, *(times.unit_probe(unit) for unit in units)]
    settle = max(LEAST_SETTLE_SECONDS, min(SETTLE_SECONDS * watch.slowness, session.deadline.remaining))
    answer = observer.run(
        shell,
        [*own, *observer.probes(asked)],
        shared=observer.shared(asked, first=len(own)),
        beside=[*range(look.IN_ORDER, len(own)), *observer.aside(asked, first=len(own))],
        settle_seconds=settle,
    )
    session.ready_seconds = watch.seconds - answer.probing_seconds
    watch.reached(Stage.READY, session.ready_seconds)
    seen = look.read_look(answer.observations[: len(look.PROBES)], answer.problem)
    session.first_look, session.boot_id = seen, seen.boot_id
    if not answer.as_root:
        session.notes.append(f"assertions were observed over {shell.name} without root's rights")
    session.checklist.settle(
        *system.judge_look(
            {entry.id.rpartition("/")[2]: entry for entry in session.entries("system")},
            seen,
            init=request.boot.init,
            observed=shell.name,
            allows=watch.allows,
        ),
        *times.judge_units(
            session.entries("time/unit"),
            units,
            answer.observations[len(look.PROBES) : len(own)],
            session.guest_slowness,
            observed=shell.name,
        ),
        *observer.judged(shell, session.entries("assert"), asked, answer.observations[len(own) :]),
    )


def _nothing_answered(session: BootSession) -> None:
    """Raises GuestFailed where it took all the time that there was to find no way in."""
    if not session.deadline.expired or session.best_shell() is not None:
        return
    raise GuestFailed(time_is_over(session, "no way in was found"))


def time_is_over(session: BootSession, what: str) -> Finding:
    """What a boot has failed of that got nowhere in its time."""
    watch = session.guest.watch
    return Finding(
        rule="timeout",
        stage=watch.stage,
        severity=Severity.FATAL,
        cause=f"{what} within {watch.seconds:.0f} s: the boot got as far as stage {watch.stage}",
        remedy="see the last lines; boot.timeout sets the limit, scaled by the host's measured slowness",
        context=session.guest.console.tail(10),
        seconds=watch.seconds,
    )
