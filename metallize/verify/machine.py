"""Boot one image on one machine and judge it: the report, whatever happens to the guest.

`booted` is the same for those who go on with the guest afterwards: it runs until the body is left.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from metallize.errors import HostError
from metallize.events import Events, Level, Named, Note, Outcome, step
from metallize.files.image_format import cut_short
from metallize.host import accelerator
from metallize.host.admission import admitted
from metallize.host.turns import Need
from metallize.model.report import AcceleratorUse, BootReport, StageTime
from metallize.qemu import board, sandbox
from metallize.qemu.plan import COUNTED_NOTE, cpus_of
from metallize.report.files import write_report
from metallize.verify.booted import Booted
from metallize.verify.course import Course
from metallize.verify.phases import power_cut
from metallize.verify.phases.power_cut import Cut
from metallize.verify.phases.tamper import patches_of
from metallize.verify.prepared import prepared_boot
from metallize.verify.request import VerifyRequest
from metallize.verify.ticker import Ticker, last_seconds
from metallize.verify.updating import old_machine, require_update


def verify_machine(request: VerifyRequest, events: Events) -> BootReport:
    """Boot and judge one machine; a boot that fails is a report, not an exception.

    Raises HostError or CommandError when the machinery breaks: QEMU missing, KVM forced and broken, disk full.
    """
    with ended_by_signals(), booted(request, events) as boot:
        if request.keep_running and not boot.report.passed:
            from metallize.qemu.by_hand.hold import hold  # noqa: PLC0415 - seldom needed

            hold(boot.guest, boot.report, request.boot.ssh, boot.boot.access, events)
        return boot.report


@contextmanager
def booted(request: VerifyRequest, events: Events) -> Iterator[Booted]:
    """Boot and judge one machine, and keep it running while the body runs; raises as `verify_machine` does.

    It waits until the host has room for the guest beside those of other processes.
    """
    name = request.machine_entry
    require_update(request)
    patches_of(request)
    with host_problems(request.runs_dir), admitted(need_of(request), Named(events, name)), ExitStack() as attempt:
        use = accelerator.choose(request.machine, request.accel)
        slow = "" if use.slowness == 1.0 else f", {use.slowness:.1f} times slower than a host of normal speed"
        events.emit(Note(text=f"{name}: {use.name.upper()} ({use.reason}){slow}"))
        boot = attempt.enter_context(_boot(request, use, events))
        again = _host_to_blame(boot.report, request.accel)
        if again:
            attempt.close()
            events.emit(Note(text=f"{name}: {again}", level=Level.WARNING))
            if use.name == "kvm":
                accelerator.forget(request.machine, request.accel)
                use = accelerator.choose(request.machine, accelerator.Choice.TCG)
                boot = attempt.enter_context(_boot(request, use, events, notes=(again,)))
            else:
                boot = attempt.enter_context(_boot(request, use, events, one_thread=True, notes=(again,)))
        yield boot


def need_of(request: VerifyRequest) -> Need:
    """What the guest takes of the host."""
    return Need(
        what=f"{request.image.name} on {request.machine_entry}",
        cpus=cpus_of(request.boot, request.overrides),
        memory_bytes=request.overrides.memory or request.boot.memory,
    )


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
    except BrokenPipeError:  # whoever reads our output has gone: no file is a pipe
        raise
    except OSError as exc:
        raise HostError(
            f"the run folder in {folder} could not be written: {exc}", hint="see df -h and the rights"
        ) from exc


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the wait as Ctrl-C does, so that everything is released.

    Signals reach the main thread: it ends the machines that boot in others (beside.py).
    """

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


def _all_come_up(course: Course, cut: Cut, stack: ExitStack, power: ExitStack) -> bool:
    """Boot the disk at the other moments; False where one does not come up, and is still on."""
    moments = stack.enter_context(closing(course.moments(cut)))
    for turn, prepared in moments:
        if not course.boot_at(turn, power.enter_context(prepared.switched_on(turn.name))):
            return False
        power.close()
    return True


@contextmanager
def _boot(
    request: VerifyRequest,
    use: AcceleratorUse,
    events: Events,
    *,
    one_thread: bool = False,
    notes: tuple[str, ...] = (),
) -> Iterator[Booted]:
    name = request.machine_entry
    with ExitStack() as stack:
        with step(events, f"verify {name}", f"{name}: boot {request.image.name} and verify it") as handle:
            last = last_seconds(request.runs_dir / name, use.name)
            ticker = stack.enter_context(ExitStack())
            telling = ticker.enter_context(Ticker(events, f"verify {name}", name, last))

            def on_stage(reached: StageTime) -> None:
                handle.output(f"{name}: {reached.seconds:6.1f} s  {reached.stage}")
                telling.reached(reached.stage)

            boot = stack.enter_context(prepared_boot(request, use, on_stage=on_stage, one_thread=one_thread))
            unseen = [COUNTED_NOTE.format(slowness=use.slowness)] if boot.plan.counts else []
            unseen += [board.NOTE] if boot.plan.board is not None else []
            unseen += [] if boot.plan.sandboxed else [sandbox.NOTE]
            flaw = cut_short(request.image, request.image_format)
            course = Course(boot=boot, notes=[*notes, *unseen, *([flaw] if flaw else [])], flaw=flaw)
            power = stack.enter_context(ExitStack())
            course.first_boot(power.enter_context(boot.switched_on()))
            cut = course.cut_power()
            if cut is not None:
                power.close()
                course.look_at_disk(cut)
                if _all_come_up(course, cut, stack, power):
                    course.boot_after(cut, power.enter_context(boot.unlogged().switched_on(power_cut.FOLDER)))
            updates = course.ask_version()
            if course.run_groups():
                power.close()
                course.run_groups_cold()
            if updates:
                power.close()
                with old_machine(boot) as (old, offers):
                    course.update(old, offers)
            if request.boot.tamper and request.refusal is None:
                power.close()
                course.boot_tampered()
            report = course.report()
            ticker.close()
            if report.failure is not None and not report.passed:
                cause = f"{name}: failed in stage {report.stage}: {report.failure.cause}"
                events.emit(Note(text=cause, level=Level.WARNING))
            report = course.with_evidence(report)
            write_report(report, boot.folder)
            handle.detail = f"{report.verdict} after {report.seconds:.1f} s"
            if not report.passed:
                handle.outcome = Outcome.FAILED
        yield Booted(report=report, boot=boot, session=course.last(), power=power)
