"""Boot one image on one machine and judge it: the report, whatever happens to the guest."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.events import Events, Level, Note, Outcome, step
from metallize.guest import GuestFailed, ShellError
from metallize.model.kind import Claim
from metallize.model.profile import Media
from metallize.model.report import AcceleratorUse, BootReport, Finding, Result, Severity, Stage, Verdict
from metallize.qemu import accelerator
from metallize.qemu.plan import make_plan
from metallize.qemu.rules import Scanner
from metallize.qemu.ssh import SshAccess, key_credentials, ssh_access
from metallize.qemu.vm import RunningGuest, make_run_folder, running_guest
from metallize.qemu.watch import BootWatch
from metallize.report.files import write_report
from metallize.verify.batch import make_batch
from metallize.verify.judge import judge_time
from metallize.verify.request import VerifyRequest
from metallize.verify.session import EVIDENCE_SECONDS, BootSession

REBOOT_SECONDS = 60.0
TAIL_LINES = 20


def verify_machine(request: VerifyRequest, events: Events) -> BootReport:
    """Boot and judge one machine; a boot that fails is a report, not an exception.

    Raises HostError or CommandError when the machinery breaks: QEMU missing, KVM forced and broken, disk full.
    """
    with ended_by_signals(), host_problems(request.runs_dir):
        use = accelerator.choose(request.machine, request.accel)
        slow = "" if use.slowness == 1.0 else f", {use.slowness:.1f} times slower than a host of normal speed"
        events.emit(Note(text=f"{request.machine_entry}: {use.name.upper()} ({use.reason}){slow}"))
        report = _boot(request, use, events)
        again = _host_to_blame(report, request.accel)
        if again:
            events.emit(Note(text=f"{request.machine_entry}: {again}", level=Level.WARNING))
            if use.name == "kvm":
                accelerator.forget(request.machine, request.accel)
                use = accelerator.choose(request.machine, accelerator.Choice.TCG)
                report = _boot(request, use, events, notes=(again,))
            else:
                report = _boot(request, use, events, one_thread=True, notes=(again,))
        return report


def _host_to_blame(report: BootReport, accel: str) -> str:
    """Why the same image deserves another boot, run in another way; empty when the failure is its own.

    Emulating several CPUs in as many threads, QEMU may let one run an old copy of code that the kernel changes on
    another: a kernel that truly left a breakpoint behind stops at it again in one thread.
    """
    failure, name = report.failure, report.accelerator.name
    if failure is None:
        return ""
    if name == "kvm" and accel == accelerator.Choice.AUTO and failure.rule == "qemu-kvm":
        return f"KVM gave up on the guest ({failure.line}): once more with TCG, first run in {report.run_folder}"
    if name == "tcg" and failure.rule == "kernel-int3":
        return (
            f"the emulated CPUs ran out of step ({failure.line.strip()}): once more in one thread, "
            f"first run in {report.run_folder}"
        )
    return ""


@contextmanager
def host_problems(folder: Path) -> Iterator[None]:
    """A full disk, or a folder that cannot be written, is the host's doing and is said so."""
    try:
        yield
    except OSError as exc:
        raise HostError(
            f"the run folder in {folder} could not be written: {exc}", hint="see df -h and the rights"
        ) from exc


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the wait as Ctrl-C does, so that everything is released; main thread only."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, before in changed.items():
            signal.signal(number, before)


def _boot(
    request: VerifyRequest,
    use: AcceleratorUse,
    events: Events,
    *,
    one_thread: bool = False,
    notes: tuple[str, ...] = (),
) -> BootReport:
    try:
        access = ssh_access(request.boot.ssh) if request.boot.ssh is not None else None
    except ShellError as exc:
        raise HostError(str(exc)) from exc
    plan = make_plan(
        image=request.image,
        image_format=request.image_format,
        machine=request.machine,
        boot=request.boot,
        overrides=request.overrides,
        accelerator=use,
        credentials=key_credentials(access) if access is not None else (),
    )
    plan = replace(plan, one_thread=one_thread)
    folder = make_run_folder(request.runs_dir / request.machine_entry)
    name = request.machine_entry
    with step(events, f"verify {name}", f"Boot {request.image.name} on {name} and verify it") as handle:
        watch = BootWatch(
            Scanner(request.boot.console),
            console_name=request.machine.console,
            slowness=use.slowness,
            on_stage=lambda reached: handle.output(f"{reached.seconds:6.1f} s  {reached.stage}"),
        )
        with running_guest(plan, folder, watch, writable=plan.media is not Media.CD) as guest:
            report = _judge(request, use, access, guest)
            report = replace(report, notes=(*notes, *report.notes))
            write_report(report, folder)
            if request.keep_running and not report.passed:
                from metallize.qemu.hold import hold  # noqa: PLC0415 - seldom needed

                hold(guest, folder, request.boot.ssh, events)
        handle.detail = f"{report.verdict} after {report.seconds:.1f} s"
        if not report.passed:
            handle.outcome = Outcome.FAILED
    return report


def _judge(request: VerifyRequest, use: AcceleratorUse, access: SshAccess | None, guest: RunningGuest) -> BootReport:
    watch = guest.watch
    limit = (request.overrides.timeout or request.boot.timeout).total_seconds() * use.slowness
    session = BootSession(
        request=request,
        guest=guest,
        slowness=use.slowness,
        deadline=Deadline.after(limit, "the guest to be ready"),
        ssh_access=access,
    )
    failure: Finding | None = None
    results: list[Result] = []
    stages = watch.stages
    try:
        session.run()
        if request.boot.reboot:
            stages = watch.stages
            results, session.results = session.results, []
            session = _reboot(session, limit)
        watch.check()
    except GuestFailed as failed:
        failure = failed.finding
    if failure is not None and failure.rule == "host-disk-full":
        raise HostError(failure.cause, hint=f"make room where {guest.folder} is")
    seconds = watch.seconds
    findings = watch.findings
    faults = [finding for finding in findings if finding.severity is Severity.FAULT]
    results += session.results
    if failure is None:
        results += _console_results(request, watch)
    budget = request.boot.time.ready
    if budget is not None and session.ready_seconds is not None:
        results.append(judge_time(budget, session.ready_seconds, use.slowness, suffix=session.suffix))
    holds = failure is None and not faults and all(result.holds for result in results)
    if session.ready_seconds is None and failure is None:
        holds = False
    stage = watch.stage
    shell = session.best_shell() if failure is None or stage.rank >= Stage.LOGIN.rank else None
    if session.evidence is not None:
        session.evidence.join(EVIDENCE_SECONDS * use.slowness)
    if shell is not None and (not holds or session.evidence is None):
        session.collect(shell)
    return BootReport(
        machine=request.machine_entry,
        image=request.image,
        media=guest.plan.media,
        verdict=Verdict.PASSED if holds else Verdict.FAILED,
        stage=stage,
        seconds=round(seconds, 3),
        accelerator=use,
        stages=stages if request.boot.reboot and failure is None else watch.stages,
        results=tuple(results),
        failure=failure,
        findings=findings,
        console_tail=guest.console.tail(TAIL_LINES),
        run_folder=guest.folder,
        ssh_port=guest.forwards.get(22),
        notes=tuple(dict.fromkeys(session.notes)),
        diagnosis=tuple(session.diagnosis),
    )


def _console_results(request: VerifyRequest, watch: BootWatch) -> list[Result]:
    missing = watch.missing
    return [
        Result(
            title=f"console shows /{pattern}/",
            kind="console",
            holds=pattern not in missing,
            claims=(
                Claim(
                    attribute="line",
                    expected=f"/{pattern}/",
                    actual="no such line" if pattern in missing else "seen",
                    holds=pattern not in missing,
                ),
            ),
            observed="console",
        )
        for pattern in request.boot.console.require
    ]


def _reboot(before: BootSession, limit: float) -> BootSession:
    """A clean reboot through the shell, and everything once more. Raises GuestFailed."""
    guest, watch = before.guest, before.guest.watch
    shell = before.best_shell()
    after = BootSession(
        request=before.request,
        guest=guest,
        slowness=before.slowness,
        deadline=Deadline.after(limit, "the guest to be ready again"),
        ssh_access=before.ssh_access,
        suffix=" after a reboot",
    )
    if shell is None:
        after.results.append(_reboot_result("a shell to ask for it", "none", holds=False))
        return after
    resets = watch.resets
    watch.expect_reset()
    guest.monitor.execute("query-rx-filter")  # QEMU tells of the network card's start only once after each question
    position = guest.console.position
    login = before.request.boot.ssh or before.request.boot.login
    command = "(sleep 1; systemctl reboot || reboot) >/dev/null 2>&1 &"
    batch = make_batch([command], password=login.password if login else None)
    with contextlib.suppress(ShellError):  # the line may go down before the answer
        shell.run(batch.script, Deadline.after(30 * before.slowness, "the reboot to be asked for"))
    shell.close()
    done = watch.wait(
        lambda: True if watch.resets > resets else None,
        Deadline.after(REBOOT_SECONDS * before.slowness, "the guest to reboot"),
    )
    if done is None:
        after.results.append(
            _reboot_result("a reset", f"none within {REBOOT_SECONDS * before.slowness:.0f} s", holds=False)
        )
        return after
    after.from_position = max(position, guest.console.position)
    after.run()
    renewed = bool(after.boot_id) and after.boot_id != before.boot_id
    after.results.append(_reboot_result(f"a boot_id other than {before.boot_id}", after.boot_id, holds=renewed))
    return after


def _reboot_result(expected: str, actual: str, *, holds: bool) -> Result:
    claim = Claim(attribute="reboot", expected=expected, actual=actual, holds=holds)
    return Result(title="clean reboot", kind="reboot", holds=holds, claims=(claim,), observed="host")
