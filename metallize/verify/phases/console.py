"""The end of a machine's boots: nothing is pending on its console any more, and QEMU says that it still runs."""

from __future__ import annotations

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.model.kind import Claim
from metallize.model.report import Entry, Severity
from metallize.verify.checklist import Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

_FAULTS = "console/faults"
_RUNS = "console/runs"


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """What console.require names, no fault, and a machine that runs; one that was refused may have stopped."""
    required = (
        turn.entry(f"console/require/{number}", f"console shows /{pattern}/", "console")
        for number, pattern in enumerate(request.boot.console.require, start=1)
    )
    runs = () if request.refusal is not None else (turn.entry(_RUNS, "the machine runs to the end", "qmp"),)
    return (*required, turn.entry(_FAULTS, "the console shows no failure", "console"), *runs)


def settle(session: BootSession, turn: Turn, limit: Deadline) -> None:
    """Wait out what may yet prove to be a failure, and settle the entries. Raises GuestFailed."""
    request, watch, checklist = session.request, session.guest.watch, session.checklist
    runs = checklist[f"{turn.name}/{_RUNS}"] if request.refusal is None else None
    status: object = {}
    if runs is not None:
        try:
            # QEMU's events come in their order: those from before this answer have been heard, or are a moment away
            status = session.guest.monitor.execute("query-status")
        except HostError as exc:
            watch.check()
            checklist.settle(runs.unseen(f"asked QEMU for its state: {exc.message}", observed="qmp"))
            runs = None
    pending = watch.drain(limit)
    watch.check()
    if runs is not None:
        state = str(status.get("status", "")) if isinstance(status, dict) else ""
        claim = Claim(attribute="state", expected="running", actual=state or "no answer", holds=state == "running")
        checklist.settle(runs.judged(claim, observed="qmp"))
    missing = watch.missing
    for number, pattern in enumerate(request.boot.console.require, start=1):
        seen = pattern not in missing
        claim = Claim(attribute="line", expected=f"/{pattern}/", actual="seen" if seen else "no such line", holds=seen)
        checklist.settle(checklist[f"{turn.name}/console/require/{number}"].judged(claim, observed="console"))
    faults = checklist[f"{turn.name}/{_FAULTS}"]
    if pending:
        checklist.settle(faults.unseen(f"waited for what may yet be a failure: {'; '.join(pending)}"))
        return
    claims = [
        Claim(attribute=each.rule, expected="no failure", actual=each.cause, holds=False)
        for each in watch.findings
        if each.severity is Severity.FAULT
    ]
    none = Claim(attribute="failures", expected="none", actual="none", holds=True)
    checklist.settle(faults.judged(*(claims or [none]), observed="console"))
