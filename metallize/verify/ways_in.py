"""The ways into a guest, tried beside each other: who gets in first observes, and each is an entry of the checklist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Shell, ShellError
from metallize.model.boot import Boot
from metallize.model.report import Entry, Result, Stage
from metallize.patience import WAYS_IN_JOIN as JOIN_SECONDS
from metallize.patience import WAYS_IN_OTHER_WAY as OTHER_WAY_SECONDS
from metallize.patience import WAYS_IN_SSH_ALONE as SSH_ALONE_SECONDS
from metallize.patience import WAYS_IN_SSH_LEAD as SSH_LEAD_SECONDS
from metallize.qemu.vm import RunningGuest
from metallize.shells.serial import SerialShell
from metallize.shells.ssh import EPHEMERAL, SshAccess, SshRefusedError, SshShell, connect
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.judge import as_entry, because, login_result
from metallize.verify.looks.observer import Observer
from metallize.verify.patience import Patience
from metallize.verify.serial_login import log_in_on_serial
from metallize.verify.task import Task
from metallize.verify.why.login import NO_GETTY
from metallize.verify.why.reasons import login_reason, ssh_reason
from metallize.verify.why.ssh import FIREWALL_DROPS, NO_NETWORK, NOTHING_LISTENS, failed_server, named_key

_REFUSES = "login/refuses"
_SERIAL = "login/serial"
_SSH = "ssh/login"


def plan(turn: Turn, boot: Boot) -> tuple[Entry, ...]:
    """An entry for each login that is declared; a wrong password, where there is one, must be refused."""
    entries = []
    if boot.login is not None:
        title = f"serial login as {boot.login.user}"
        entries.append(turn.entry(_SERIAL, title, "login"))
        if boot.login.password:  # after it: where both fail, the right one's reason is the reason
            entries.append(turn.entry(_REFUSES, f"{title} with a wrong password", "login"))
    if boot.ssh is not None:
        entries.append(turn.entry(_SSH, f"ssh login as {boot.ssh.user}", "ssh"))
    return tuple(entries)


@dataclass(slots=True, kw_only=True)
class WaysIn:
    """The logins of one boot, each in a thread of its own; `diagnosis` grows with what explains one that fails."""

    guest: RunningGuest
    boot: Boot
    console: str
    """The machine's name of the serial port."""
    access: SshAccess | None
    deadline: Deadline
    turn: Turn
    checklist: Checklist
    observer: Observer
    steps_done: Callable[[], int]
    """Waits for the console steps, which have the console to themselves; the position at which they ended."""
    task: Callable[..., Task[Any]] = Task
    ssh: Task[SshShell] | None = None
    serial: Task[SerialShell | None] | None = None
    diagnosis: list[str] = field(default_factory=list)
    patience: Patience = field(init=False)
    """With a way in that has not come."""
    _begun: float = 0.0
    _no_getty: str = ""
    """Why no login prompt can come, once that is known."""
    _no_ssh: str = ""
    """Why SSH cannot come, once that is known."""
    _serial_results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.patience = Patience(self.guest.watch)

    @property
    def are_declared(self) -> bool:
        return self.access is not None or self.boot.login is not None

    def begin(self) -> None:
        """Try all of them."""
        watch, access = self.guest.watch, self.access
        self._begun = watch.seconds
        if access is not None:
            port = self.guest.host_port(22)
            self.ssh = self.task(
                "ssh", lambda: connect(port, access, watch, self.deadline, given_up=self.patience.over), watch
            )
        if self.boot.login is not None:
            self.serial = self.task("serial", self._log_in_on_serial, watch)

    def first_shell(self) -> Shell | None:
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
                self._give_up_after_a_failed_login()
            if self.serial is not None and self.serial.done and self.best_shell() is not None:
                lead = lead or self.patience.limit(SSH_LEAD_SECONDS, "SSH, which is the faster shell")
                if self.ssh is None or lead():
                    return True
            return None

        self.guest.watch.wait(look, self.deadline)
        return self.best_shell()

    def shells(self) -> Iterator[Shell]:
        """Those that are logged in, the faster one first."""
        for task in (self.ssh, self.serial):
            if task is not None and task.done:
                try:
                    shell: Shell | None = task.value()
                except (ShellError, GuestFailed):
                    continue
                if shell is not None:
                    yield shell

    def best_shell(self) -> Shell | None:
        """A shell that is logged in, if there is one."""
        return next(self.shells(), None)

    def settle(self) -> None:
        """Wait for those that are still on their way, as long as it makes sense, and settle the entries of all.

        Raises GuestFailed.
        """
        self.patience.give(self._patience_seconds(), "the other way in")
        tasks = [task for task in (self.serial, self.ssh) if task is not None]
        self.guest.watch.wait(
            lambda: all(task.done for task in tasks) or None,
            Deadline.after(self.deadline.remaining + JOIN_SECONDS, "the ways in to end"),
        )
        self._settle_serial()
        self._settle_ssh()

    def adopt(self, shell: SshShell) -> None:
        """A new connection takes the place of the one that logged in."""
        self.ssh = self.task("ssh", lambda: shell, self.guest.watch)
        self.ssh.join(5)

    def end(self) -> tuple[str, ...]:
        """Give up what is still under way; the names of threads that do not end."""
        self.patience.give(0.0, "nothing more")
        tasks = [task for task in (self.serial, self.ssh) if task is not None]
        for task in tasks:
            task.join(JOIN_SECONDS)
        if self.serial is not None and self.serial.done:
            self._settle_shown()  # what a login showed before the guest failed
        return tuple(task.name for task in tasks if not task.done)

    def close(self) -> None:
        """Let go of a guest that is gone."""
        for task in (self.ssh, self.serial):
            if task is not None and task.done and task.error is None:
                shell = task.value()
                if shell is not None:
                    shell.close()

    # --- inside --------------------------------------------------------------------------------------------------

    def _log_in_on_serial(self) -> SerialShell | None:
        login = self.boot.login
        if login is None:
            return None
        shell = log_in_on_serial(
            self.guest,
            login,
            self.deadline,
            position=self.steps_done(),
            given_up=self.patience.over,
            suffix=self.turn.suffix,
            results=self._serial_results,
        )
        if shell is not None and (self.ssh is None or self.ssh.error is not None):
            shell.start(self.deadline)  # else it is needed only when SSH fails, and starts then
        return shell

    def _shown(self) -> dict[str, Result]:
        return {_REFUSES if "wrong password" in each.title else _SERIAL: each for each in self._serial_results}

    def _settle_shown(self) -> None:
        for id_, result in self._shown().items():
            entry = self.checklist[f"{self.turn.name}/{id_}"]
            if not self.checklist.is_settled(entry.id):
                self.checklist.settle(as_entry(entry, result))

    def _settle_serial(self) -> None:
        if self.serial is None or not self.serial.done:
            return  # of one that has not ended nobody knows what became of it: its entries stay unseen
        shown = self._shown()
        try:
            self.serial.value()
        except ShellError as exc:
            if _SERIAL not in shown or shown[_SERIAL].holds:
                shown[_SERIAL] = login_result(
                    "serial shell", "login", expected="a shell", actual=str(exc), holds=False, seconds=0
                )
        why = "" if all(each.holds for each in shown.values()) else self._no_getty or self._login_reason()
        for id_, result in shown.items():
            entry = self.checklist[f"{self.turn.name}/{id_}"]
            self.checklist.settle(because(as_entry(entry, result), why))

    def _settle_ssh(self) -> None:
        if self.ssh is None or self.access is None or not self.ssh.done:
            return
        entry = self.checklist[f"{self.turn.name}/{_SSH}"]
        try:
            shell = self.ssh.value()
        except ShellError as exc:
            actual = exc.reason
            ssh = self.boot.ssh
            problem = named_key(str(exc)) if ssh is not None and ssh.key == EPHEMERAL else str(exc)
            known = "" if isinstance(exc, SshRefusedError) else self._no_ssh
            note = known or ssh_reason(self.observer, self.best_shell(), problem, self.diagnosis)
            result = login_result("", "ssh", expected="accepted", actual=actual, holds=False, seconds=0, note=note)
        else:
            seconds = self.guest.watch.seconds - self._begun
            result = login_result(
                "", "ssh", expected="accepted", actual=f"accepted, by {shell.client}", holds=True, seconds=seconds
            )
        self.checklist.settle(as_entry(entry, result))

    def _login_reason(self) -> str:
        return login_reason(self.observer, self.best_shell(), self.boot.login, self.console)

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

    def _give_up_after_a_failed_login(self) -> None:
        """The verdict is decided: SSH would only help to say why, and gets no more time than another way in."""
        self._give_up_a_failed_server()
        if not self.patience.is_limited:
            self.patience.give(OTHER_WAY_SECONDS, "SSH, after a login that failed")

    def _give_up_on_ssh_alone(self) -> None:
        """Where SSH is the only way in, the login prompt tells that the system is up: from then on it has its time."""
        if not self.patience.is_limited and self.guest.watch.stage.rank >= Stage.LOGIN.rank:
            self._give_up_a_failed_server()
            if not self.patience.is_limited:
                self.patience.give(SSH_ALONE_SECONDS, "SSH, the only way in")
