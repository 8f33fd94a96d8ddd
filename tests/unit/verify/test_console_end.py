"""The end of a boot: what is pending is waited for, what went wrong fails, and QEMU itself says that it still runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import GuestFailed
from metallize.model.boot import Boot, ConsoleRules
from metallize.model.report import Finding, Severity, Stage, Status
from metallize.patience import FINDINGS_STALL_GRACE as STALL_GRACE_SECONDS
from metallize.verify.checklist import FIRST, Checklist
from metallize.verify.phases import console
from metallize.verify.session import BootSession
from tests.unit.console.test_watch import BOOT, Clock
from tests.unit.shells.fakes import FakeWatch


class Ends(FakeWatch):
    """At the end of a boot, with what is left on its console."""

    missing: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    pending: tuple[str, ...] = ()

    def drain(self, deadline: Deadline) -> tuple[str, ...]:
        return self.pending


def ended(watch: Ends, answer: object = None, *, require: tuple[str, ...] = ()) -> dict[str, Status]:
    request = SimpleNamespace(boot=Boot(console=ConsoleRules(require=require)), refusal=None)

    def execute(command: str) -> object:
        assert command == "query-status"
        if isinstance(answer, Exception):
            raise answer
        return {"status": "running"} if answer is None else answer

    checklist = Checklist(console.plan(cast("Any", request), FIRST))
    guest = SimpleNamespace(watch=watch, monitor=SimpleNamespace(execute=execute))
    session = cast("BootSession", SimpleNamespace(request=request, guest=guest, checklist=checklist))
    console.settle(session, FIRST, Deadline.after(1, "the end"))
    assert all(checklist.is_settled(entry.id) for entry in checklist.entries)
    return {result.id.removeprefix("boot/console/"): result.status for result in checklist.results()}


def test_a_quiet_end_holds() -> None:
    assert ended(Ends()) == {"faults": Status.HELD, "runs": Status.HELD}


@pytest.mark.parametrize("answer", [{"status": "paused"}, {"status": "io-error"}, {}, [], "running"])
def test_a_machine_that_does_not_run_fails(answer: object) -> None:
    assert ended(Ends(), answer)["runs"] is Status.FAILED


def test_a_monitor_that_does_not_answer_is_unseen() -> None:
    assert ended(Ends(), HostError("QEMU's monitor did not answer")) == {
        "faults": Status.HELD,
        "runs": Status.UNSEEN,
    }


def test_what_is_still_pending_is_unseen() -> None:
    watch = Ends()
    watch.pending = ("the kernel may have hung",)
    assert ended(watch)["faults"] is Status.UNSEEN


def test_a_fault_fails_and_a_warning_does_not() -> None:
    watch = Ends()
    warning = Finding(rule="x", stage=Stage.KERNEL, severity=Severity.WARNING, cause="y")
    watch.findings = (warning,)
    assert ended(watch)["faults"] is Status.HELD
    watch.findings = (warning, Finding(rule="x", stage=Stage.KERNEL, severity=Severity.FAULT, cause="y"))
    assert ended(watch)["faults"] is Status.FAILED


def test_every_required_line_is_an_entry() -> None:
    watch = Ends()
    watch.missing = ("never",)
    seen = ended(watch, require=("hello", "never"))
    assert (seen["require/1"], seen["require/2"]) == (Status.HELD, Status.FAILED)


def test_a_stall_is_pending_until_it_is_over() -> None:
    clock = Clock()
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=clock)
    watch.switched_on()
    watch.console_text("Boot failed: not a bootable disk\n", "")
    assert watch.drain(Deadline.after(0, "x")) == (watch_stall(watch),)
    clock.now += STALL_GRACE_SECONDS + 5
    with pytest.raises(GuestFailed):
        watch.drain(Deadline.after(0, "x"))


def test_a_stall_that_was_none_is_not_pending() -> None:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", clock=Clock())
    watch.switched_on()
    watch.console_text("Boot failed: not a bootable disk\n", "")
    watch.console_text(BOOT, "")
    assert watch.drain(Deadline.after(0, "x")) == ()


def watch_stall(watch: BootWatch) -> str:
    stall = watch._ledger.stall
    assert stall is not None
    return stall.finding.cause
