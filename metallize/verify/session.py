"""One boot from power-on to the last judgement, everything that can go on at once going on at once.

The serial login (a wrong password first: its delay passes while the system settles) and the SSH login run beside each
other; the first good shell runs all probes in one round trip; the host looks at the guest's ports meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Shell, ShellError
from metallize.model.outcome import Outcome
from metallize.model.report import Finding, Result, Severity, Stage
from metallize.qemu.vm import RunningGuest
from metallize.shells.serial import SerialShell
from metallize.shells.ssh import EPHEMERAL, SshAccess, SshRefusedError, SshShell, connect
from metallize.verify import evidence
from metallize.verify.batch import NOTHING_SEEN
from metallize.verify.diagnose import FIREWALL_DROPS, NO_NETWORK, NOTHING_LISTENS, failed_server, named_key
from metallize.verify.explain_login import NO_GETTY
from metallize.verify.judge import SYSTEM_PROBES, judge_assertion, judge_system, login_result
from metallize.verify.observer import Observer
from metallize.verify.patience import OTHER_WAY_SECONDS, SEEN_SECONDS, SSH_ALONE_SECONDS, SSH_LEAD_SECONDS, Patience
from metallize.verify.phases.reach import check_reach
from metallize.verify.phases.refusal import await_refusal
from metallize.verify.phases.steps import Steps
from metallize.verify.phases.times import judge_times, judge_units, unit_probe
from metallize.verify.reasons import because, login_reason, ssh_reason, with_reach_reasons
from metallize.verify.request import VerifyRequest
from metallize.verify.restarts import RESTARTS_PROBE, judge_restarts
from metallize.verify.root_state import ROOT_PROBE, explain_root
from metallize.verify.serial_login import log_in_on_serial
from metallize.verify.task import Task

SETTLE_SECONDS = 90.0
NOBODY = (
    "nobody is logged in to the guest: declare boot.login or boot.ssh; with --image: --user (pytest: --metallize-user)"
)


@dataclass(slots=True)
class BootSession:
    """The state of one verification; `results` grows, and `ready_seconds` is set when the guest is ready."""

    request: VerifyRequest
    guest: RunningGuest
    deadline: Deadline
    ssh_access: SshAccess | None
    suffix: str = ""
    from_position: int = 0
    results: list[Result] = field(default_factory=list)
    diagnosis: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ready_seconds: float | None = None
    boot_id: str = ""
    ssh: Task[SshShell] | None = None
    serial: Task[SerialShell | None] | None = None
    steps: Task[int] | None = None
    """The console steps; its value is the position at which they ended."""
    collected: bool = False
    """Whether the guest's own logs are in the folder of this boot."""
    observer: Observer = field(init=False)
    patience: Patience = field(init=False)
    """With a way in that has not come."""
    _no_getty: str = ""
    """Why no login prompt can come, once that is known."""
    _no_ssh: str = ""
    """Why SSH cannot come, once that is known."""
    _serial_results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.patience = Patience(self.guest.watch)
        self.observer = Observer(
            request=self.request,
            watch=self.guest.watch,
            deadline=self.deadline,
            suffix=self.suffix,
            notes=self.notes,
        )

    @property
    def slowness(self) -> float:
        return self.guest.watch.slowness

    def run(self) -> None:
        """Go through the whole boot. Raises GuestFailed when the guest fails on the way."""
        boot = self.request.boot
        watch = self.guest.watch
        access = self.ssh_access
        if boot.steps:
            steps = Steps(
                guest=self.guest,
                steps=boot.steps,
                suffix=self.suffix,
                position=self.from_position,
                results=self.results,
            )
            self.steps = Task("steps", partial(self._take, steps), watch)
        if self.request.refusal is not None:
            self._await_refusal(self.request.refusal)
            return
        if access is not None:
            begun = watch.seconds
            port = self.guest.host_port(22)
            self.ssh = Task(
                "ssh", lambda: connect(port, access, watch, self.deadline, given_up=self.patience.over), watch
            )
        if boot.login is not None:
            self.serial = Task("serial", self._log_in_on_serial, watch)
        if self.ssh is None and self.serial is None:
            self._look_on()
            self._judge_unobserved()
            self._judge_times()
            return
        shell = self._first_shell()
        if shell is not None:
            self._observe(shell)
        self.patience.give(self._patience_seconds(), "the other way in")
        tasks = [task for task in (self.serial, self.ssh) if task is not None]
        # each of them ends at the deadline by itself, and needs a moment to say so
        watch.wait(
            lambda: all(task.done for task in tasks) or None, Deadline.after(self.deadline.remaining + 30, "ends")
        )
        self._serial_done()
        if access is not None:
            self._ssh_done(access, begun)
        if shell is None:
            self._nothing_answered()
        self._steps_done()
        self._reach()
        self._judge_times()

    def best_shell(self) -> Shell | None:
        """A shell that is logged in, if there is one."""
        for task in (self.ssh, self.serial):
            if task is not None and task.done:
                try:
                    shell: Shell | None = task.value()
                except (ShellError, GuestFailed):
                    continue
                if shell is not None:
                    return shell
        return None

    @property
    def boot_seconds(self) -> float:
        """From this boot's power-on or reset until it was ready."""
        stages = self.guest.watch.stages
        return (self.ready_seconds or 0.0) - (stages[0].seconds if stages else 0.0)

    def adopt(self, shell: SshShell) -> None:
        """A new connection takes the place of the one that logged in."""
        self.ssh = Task("ssh", lambda: shell, self.guest.watch)
        self.ssh.join(5)

    def close(self) -> None:
        """Let go of a guest that is gone."""
        for task in (self.ssh, self.serial):
            if task is not None and task.done and task.error is None:
                shell = task.value()
                if shell is not None:
                    shell.close()

    def collect(self, shell: Shell) -> None:
        """The guest's own logs, into the folder of this boot: after the verdict, or before what may end the guest."""
        self.collected = True
        password = self.observer.password(shell)
        evidence.collect(shell, self.guest.folder, password=password, slowness=self.slowness)

    # --- ways in -------------------------------------------------------------------------------------------------

    def _patience_seconds(self) -> float:
        """How long the other way in may still take now that the system has settled: not long where it cannot come."""
        prompted = any(item.stage is Stage.LOGIN for item in self.guest.watch.stages)
        if self.serial is not None and not self.serial.done and not prompted:
            why = self._login_reason()
            if why.startswith(NO_GETTY):
                self._no_getty = why
                return 0.0
        if self.ssh is None or self.ssh.done:
            return OTHER_WAY_SECONDS
        why = ssh_reason(self.observer, self.best_shell(), "", self.diagnosis)
        if why.startswith(NOTHING_LISTENS):
            self._no_ssh = why
            return 0.0
        return OTHER_WAY_SECONDS / (4 if why.startswith((*NO_NETWORK, FIREWALL_DROPS)) else 1)

    def _give_up_a_failed_server(self) -> None:
        """With no shell to ask in, the console's word that the SSH server has failed is enough, after a while."""
        if not self.patience.is_limited:
            self._no_ssh = failed_server(finding.cause for finding in self.guest.watch.findings)
            if self._no_ssh:
                self.patience.give(OTHER_WAY_SECONDS, "the SSH server, which has failed")

    def _give_up_on_ssh_alone(self) -> None:
        """Where SSH is the only way in, the login prompt tells that the system is up: from then on it has its time."""
        if not self.patience.is_limited and self.guest.watch.stage.rank >= Stage.LOGIN.rank:
            self._give_up_a_failed_server()
            if not self.patience.is_limited:
                self.patience.give(SSH_ALONE_SECONDS, "SSH, the only way in")

    def _log_in_on_serial(self) -> SerialShell | None:
        login = self.request.boot.login
        if login is None:
            return None
        self._steps_done()
        shell = log_in_on_serial(
            self.guest,
            login,
            self.deadline,
            position=self.from_position if self.steps is None else self.steps.value(),
            given_up=self.patience.over,
            suffix=self.suffix,
            results=self._serial_results,
        )
        if shell is not None and (self.ssh is None or self.ssh.error is not None):
            shell.start(self.deadline)  # else it is needed only when SSH fails, and starts then
        return shell

    def _first_shell(self) -> Shell | None:
        """The shell that observes: SSH where it comes in time, because it is faster; else serial."""
        lead: Callable[[], bool] | None = None

        def look() -> bool | None:
            nonlocal lead
            if all(task.done for task in (self.ssh, self.serial) if task is not None):
                return True
            if self.ssh is not None and self.ssh.done:
                return True if self.ssh.error is None else None
            if self.serial is None:
                self._give_up_on_ssh_alone()
            elif self.serial.done and self.best_shell() is None:
                self._give_up_a_failed_server()
            if self.serial is not None and self.serial.done and self.best_shell() is not None:
                lead = lead or self.patience.limit(SSH_LEAD_SECONDS, "SSH, which is the faster shell")
                if self.ssh is None or lead():
                    return True
            return None

        self.guest.watch.wait(look, self.deadline)
        return self.best_shell()

    def _look_on(self) -> None:
        """With no login declared: what can be seen is the steps, or where there are none a login prompt."""
        watch = self.guest.watch
        if self.steps is not None:
            self._steps_done()
        elif watch.wait(lambda: True if watch.stage.rank >= Stage.LOGIN.rank else None, self.deadline) is None:
            self._time_is_over("no login prompt was seen")
        if self.steps is None and not self.request.boot.reach:
            self.notes.append(
                "no login is declared: the image was seen up to its login prompt, and nobody looked further"
            )
        seen = self.patience.limit(SEEN_SECONDS, "what follows the login prompt")
        watch.wait(lambda: seen() or None, self.deadline)
        self.ready_seconds = watch.seconds
        watch.reached(Stage.READY)
        self._reach()

    def _take(self, steps: Steps) -> int:
        """The console steps; one that finds nothing ends every wait."""
        try:
            steps.run()
        except GuestFailed as failed:
            missed = failed.finding
            self.guest.watch.fail(missed.rule, missed.cause, remedy=missed.remedy, stage=missed.stage)
            raise
        return steps.position

    def _steps_done(self) -> None:
        """Wait for the steps, each of which ends at its own time. Raises GuestFailed."""
        steps = self.steps
        if steps is not None:
            limit = sum(step.timeout.total_seconds() for step in self.request.boot.steps) * self.slowness + 30
            self.guest.watch.wait(lambda: steps.done or None, Deadline.after(limit, "the console steps"))

    def _await_refusal(self, expected: Outcome) -> None:
        """An image that must not boot. Raises GuestFailed when it is not refused as it must be."""
        watch = self.guest.watch
        refusal = await_refusal(expected, watch, self.deadline)
        self.results.append(refusal.result)
        if refusal.failure is not None:
            raise GuestFailed(refusal.failure)
        self.ready_seconds = watch.seconds
        watch.ending()

    # --- what was seen -------------------------------------------------------------------------------------------

    def _observe(self, shell: Shell) -> None:
        """Run all probes in one round trip, once the system has settled, and judge them."""
        assertions = [each for each in self.request.assertions if each.action is None]
        units = self.request.boot.time.units
        own = [*SYSTEM_PROBES, RESTARTS_PROBE, ROOT_PROBE, *(unit_probe(unit) for unit in units)]
        probes = [*own, *self.observer.probes(assertions)]
        settle = max(10.0, min(SETTLE_SECONDS * self.slowness, self.deadline.remaining))
        shared = self.observer.shared(assertions, first=len(own))
        aside = [*range(len(SYSTEM_PROBES), len(own)), *self.observer.aside(assertions, first=len(own))]
        answer = self.observer.run(shell, probes, shared=shared, beside=aside, settle_seconds=settle)
        self.ready_seconds = self.guest.watch.seconds - answer.probing_seconds
        self.guest.watch.reached(Stage.READY, self.ready_seconds)
        system = answer.observations[: len(SYSTEM_PROBES)]
        if system[0] is not None:
            self.boot_id = system[0].stdout.strip()
        failed = system[2].stdout.split() if system[2] else []
        allowed = {name: self.guest.watch.allows(name) for name in failed}
        restarts, root = answer.observations[len(SYSTEM_PROBES) :][:2]
        judged = (
            *judge_system(system, observed=shell.name, allowed=allowed, suffix=self.suffix),
            *judge_restarts(restarts, observed=shell.name, suffix=self.suffix),
        )
        why = explain_root(root)
        self.results += (because(each, why) for each in judged)
        if not answer.as_root:
            self.notes.append(f"assertions were observed over {shell.name} without root's rights")
        self.results += judge_units(
            units,
            answer.observations[len(SYSTEM_PROBES) + 2 : len(own)],
            self.slowness,
            observed=shell.name,
            suffix=self.suffix,
        )
        self.results += self.observer.judged(shell, assertions, answer.observations[len(own) :])

    def _judge_unobserved(self) -> None:
        """With nobody logged in no assertion is observed, and what was not observed does not hold."""
        for item in self.request.assertions:
            if item.action is not None:
                continue
            kind = self.request.kinds[item.kind]
            seen = None if kind.probe(item.resource, item.options) else NOTHING_SEEN
            result = judge_assertion(item, kind, seen, observed="", suffix=self.suffix)
            self.results.append(because(result, NOBODY))

    def _serial_done(self) -> None:
        if self.serial is None:
            return
        try:
            self.serial.value()
        except ShellError as exc:
            self._serial_results.append(
                login_result(
                    f"serial shell{self.suffix}", "login", expected="a shell", actual=str(exc), holds=False, seconds=0
                )
            )
        why = "" if all(each.holds for each in self._serial_results) else self._no_getty or self._login_reason()
        self.results += (because(each, why) for each in self._serial_results)

    def _login_reason(self) -> str:
        boot, port = self.request.boot, self.request.machine.console
        return login_reason(self.observer, self.best_shell(), boot.login, port)

    def _ssh_done(self, access: SshAccess, begun: float) -> None:
        if self.ssh is None:
            return
        title = f"ssh login as {access.user}{self.suffix}"
        try:
            self.ssh.value()
        except ShellError as exc:
            actual = "refused" if isinstance(exc, SshRefusedError) else "no login"
            ssh = self.request.boot.ssh
            problem = named_key(str(exc)) if ssh is not None and ssh.key == EPHEMERAL else str(exc)
            known = "" if isinstance(exc, SshRefusedError) else self._no_ssh
            note = known or ssh_reason(self.observer, self.best_shell(), problem, self.diagnosis)
            self.results.append(
                login_result(title, "ssh", expected="accepted", actual=actual, holds=False, seconds=0, note=note)
            )
        else:
            seconds = self.guest.watch.seconds - begun
            self.results.append(
                login_result(title, "ssh", expected="accepted", actual="accepted", holds=True, seconds=seconds)
            )

    def _judge_times(self) -> None:
        budgets, watch = self.request.boot.time, self.guest.watch
        self.results += judge_times(budgets, watch.stages, self.ready_seconds, self.slowness, suffix=self.suffix)

    def _reach(self) -> None:
        watch = self.guest.watch
        tasks = [
            Task("reach", partial(check_reach, self.guest, target, wanted), watch)
            for target, wanted in self.request.boot.reach.items()
        ]
        watch.wait(lambda: all(task.done for task in tasks) or None, Deadline.after(3600, "the guest's ports"))
        results = [replace(task.value(), title=f"{task.value().title}{self.suffix}") for task in tasks]
        self.results += with_reach_reasons(self.observer, self.best_shell(), results, self.request.boot.reach)

    def _nothing_answered(self) -> None:
        if self.deadline.expired:
            self._time_is_over("no way in was found")

    def _time_is_over(self, what: str) -> None:
        watch = self.guest.watch
        raise GuestFailed(
            Finding(
                rule="timeout",
                stage=watch.stage,
                severity=Severity.FATAL,
                cause=f"{what} within {watch.seconds:.0f} s: the boot got as far as stage {watch.stage}",
                remedy="see the last lines; boot.timeout sets the limit, scaled by the host's measured slowness",
                context=self.guest.console.tail(10),
                seconds=watch.seconds,
            )
        )
