r"""What test functions hold in their hands: a guest, its shells, its console and its machine's monitor.

    def test_the_clock_runs_in_utc(ssh: Shell) -> None:
        assert ssh.run("date +%Z").stdout == "UTC\n"

Times are those of a host of normal speed: they are stretched by the measured slowness of the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from metallize.deadline import Deadline
from metallize.errors import BootError, HostError
from metallize.guest import GuestFailed, ShellError
from metallize.guest import Shell as WayIn
from metallize.model.machine import Machine
from metallize.model.report import BootReport
from metallize.qemu.vm import RunningGuest
from metallize.verify.booted import Booted
from metallize.verify.looks.batch import make_batch, read_batch
from metallize.verify.session import BootSession

PATIENCE_SECONDS = 60.0


class GuestError(AssertionError):
    """The guest did not do what the test waited for: it crashed, was too slow, or lost its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


@contextmanager
def _told() -> Iterator[None]:
    """What the library raises when a guest fails, in one sentence for the test's own report."""
    __tracebackhide__ = True
    try:
        yield
    except GuestFailed as exc:
        finding = exc.finding
        where = f" ({finding.line.strip()})" if finding.line.strip() else ""
        raise GuestError(f"the guest failed in stage {finding.stage}: {finding.cause}{where}") from None
    except (ShellError, HostError, BootError) as exc:
        raise GuestError(str(exc)) from None
    except OSError as exc:
        raise GuestError(f"the guest is switched off ({exc})") from None


class Shell:
    """Runs commands in the guest, over SSH or over the serial port."""

    def __init__(self, boot: Booted, find: Callable[[BootSession], WayIn], password: str | None) -> None:
        self._boot = boot
        self._find = find
        self._password = password

    def run(
        self, command: str, *, root: bool = False, timeout: float = PATIENCE_SECONDS, check: bool = False
    ) -> CommandResult:
        """Run a command, or a whole script, with `sh`, as the user who is logged in or as root (with sudo).

        `timeout` is in seconds. Raises GuestError when no answer comes, and with `check` when the status is not 0.
        """
        __tracebackhide__ = True
        slowness = self._boot.boot.slowness
        deadline = Deadline.after(timeout * slowness, f"`{command[:60]}`")
        with _told():
            shell = self._find(self._boot.session)
            if root:
                own = f"umask 022\n{command}"  # what root makes can be read, as in a login of its own
                batch = make_batch([own], password=self._password, limit=int(timeout * slowness) + 1)
                answer = read_batch(batch, shell.run(batch.script, deadline).stdout)
                seen = answer.observations[0]
                if seen is None or not answer.as_root:
                    raise GuestError(f"`{command[:60]}` could not be run as root over {shell.name}")
                result = CommandResult(status=seen.status, stdout=seen.stdout, stderr=seen.stderr)
            else:
                output = shell.run(command, deadline)
                result = CommandResult(
                    status=output.status,
                    stdout=output.stdout.decode(errors="replace"),
                    stderr=output.stderr.decode(errors="replace"),
                )
        if check and result.status != 0:
            said = (result.stderr or result.stdout).strip()[-2000:]
            raise GuestError(f"`{command[:200]}` ended with status {result.status}: {said}")
        return result


class Console:
    """The serial port as it is: what the guest prints there, and a way to type."""

    def __init__(self, boot: Booted) -> None:
        self._boot = boot
        self._guest = boot.guest
        self._position = boot.guest.console.position

    def _now(self) -> RunningGuest:
        """The machine that runs now; after a power cut all that it prints is new."""
        if self._guest is not self._boot.guest:
            self._guest, self._position = self._boot.guest, 0
        return self._guest

    @property
    def text(self) -> str:
        """Everything that was printed since power-on, escapes stripped; of very much only the newest million."""
        return self._now().console.since(0)

    def send(self, text: str) -> None:
        r"""Type. What is typed ends a line with \r, as the Enter key does."""
        with _told():
            self._now().console.write(text.encode())

    def expect(self, pattern: str, *, timeout: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Wait for a regular expression in what is printed from now on, or from the last match on.

        `timeout` is in seconds. Raises GuestError when it does not come, and at once when the guest fails.
        """
        __tracebackhide__ = True
        compiled = re.compile(pattern, re.MULTILINE)
        guest = self._now()
        console, watch = guest.console, guest.watch

        def look() -> re.Match[str] | None:
            return compiled.search(console.since(self._position))

        with _told():
            limit = Deadline.after(timeout * watch.slowness, f"/{pattern}/ on the console")
            match = watch.wait(look, limit)
        if match is None:
            tail = "\n".join(console.tail(10))
            raise GuestError(
                f"/{pattern}/ did not come within {timeout * watch.slowness:.0f} s; the last lines:\n{tail}"
            )
        self._position += match.end()
        return match


class Qmp:
    """QEMU's own control socket (qemu-qmp-ref(7))."""

    def __init__(self, boot: Booted) -> None:
        self._boot = boot

    def execute(self, command: str, **arguments: object) -> object:
        """Run a command, `query-status` for instance, and return its answer. Raises GuestError when QEMU refuses."""
        __tracebackhide__ = True
        with _told():
            return self._boot.guest.monitor.execute(command, **arguments)


class Guest:
    """A machine that was switched on, came up, and still runs."""

    def __init__(self, boot: Booted, machine: Machine, start: Callable[[], Booted]) -> None:
        self._boot = boot
        self._start = start
        self.machine = machine
        self.console = Console(boot)
        self.qmp = Qmp(boot)

    @property
    def report(self) -> BootReport:
        """What its boot showed: stages with their times, results, the run folder."""
        return self._boot.report

    @property
    def ssh(self) -> Shell:
        """The shell over SSH. Raises GuestError where `boot.ssh` is not declared or the login failed."""
        __tracebackhide__ = True
        boot = self._boot.session.request.boot
        if boot.ssh is None:
            raise GuestError("no SSH login is declared: see boot.ssh of the profile, or --metallize-user")
        password = boot.ssh.password or (boot.login.password if boot.login else None)
        return Shell(self._boot, _over_ssh, password)

    @property
    def serial(self) -> Shell:
        """The shell over the serial port. Raises GuestError where `boot.login` is not declared or the login failed."""
        __tracebackhide__ = True
        login = self._boot.session.request.boot.login
        if login is None:
            raise GuestError("no login is declared: see boot.login of the profile, or --metallize-user")
        return Shell(self._boot, _over_serial, login.password)

    @property
    def shell(self) -> Shell:
        """The better shell of those that are logged in: SSH, else serial. Raises GuestError where there is none."""
        __tracebackhide__ = True
        session = self._boot.session
        if session.best_shell() is None:
            raise GuestError("nobody is logged in to the guest: see boot.login and boot.ssh of the profile")
        ssh = session.ways.ssh
        return self.ssh if ssh is not None and ssh.error is None else self.serial

    def host_port(self, guest_port: int) -> int:
        """The port of 127.0.0.1 that leads to a port of the guest: 22, and those that `boot.reach` names."""
        __tracebackhide__ = True
        try:
            return self._boot.guest.host_port(guest_port)
        except KeyError:
            raise GuestError(f"port {guest_port} is not forwarded: name it in boot.reach") from None

    def another(self) -> Guest:
        """Switch this guest off and boot another one, from the same image, which no guest has changed.

        Raises GuestError when it does not come up.
        """
        __tracebackhide__ = True
        with _told():
            return Guest(self._start(), self.machine, self._start)

    def reboot(self) -> None:
        """A clean reboot, until it is up again and its shells are logged in.

        Raises GuestError when it does not come back, or is not another boot than before.
        """
        __tracebackhide__ = True
        with _told():
            self._boot.reboot()

    def power_cut(self) -> None:
        """Pull the plug, switch on again with the disk as it was then, and wait until it is up and logged in.

        The console begins anew. Raises GuestError when the guest does not come up.
        """
        __tracebackhide__ = True
        with _told():
            self._boot.power_cut()


def _over_ssh(session: BootSession) -> WayIn:
    if session.ways.ssh is None:
        raise ShellError("there is no SSH login")
    return session.ways.ssh.value()


def _over_serial(session: BootSession) -> WayIn:
    shell = session.ways.serial.value() if session.ways.serial is not None else None
    if shell is None:
        raise ShellError("the login over the serial port failed")
    return shell
