"""A guest for a person: serial port on the terminal, the way in over SSH printed, the image never changed."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from metallize.command import spawn, tethered
from metallize.errors import CommandError, HostError, of_thread
from metallize.events import Events, Level, Note
from metallize.files.vanishing import vanishing_folder
from metallize.host import accelerator
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.machine import Machine
from metallize.model.profile import ImageFormat
from metallize.qemu import sandbox
from metallize.qemu.argv import TERMINAL, Ports, guest_argv
from metallize.qemu.by_hand.held import ssh_command
from metallize.qemu.by_hand.hold import key_in_memory, key_of, user_of
from metallize.qemu.descriptors import socket_pair
from metallize.qemu.network import Forward
from metallize.qemu.plan import SSH_PORT, make_plan
from metallize.qemu.qmp import QmpMonitor
from metallize.qemu.tpm import with_tpm
from metallize.qemu.vm import prepared_files
from metallize.shells.ssh import EPHEMERAL, SshAccess, key_credentials, ssh_access

CLOSED = "the guest's network leads to nothing but you; --internet opens it, to this host's own services too"


def boot_interactive(
    *,
    image: Path,
    image_format: ImageFormat,
    machine: Machine,
    events: Events,
    boot: Boot | None = None,
    overrides: MachineOverrides | None = None,
    accel: str = "auto",
    forwards: Sequence[Forward] = (),
) -> int:
    """Boot an image on the terminal until the guest switches itself off or Ctrl-A X; returns QEMU's exit status.

    Raises HostError or CommandError when QEMU does not start, HostError where a port of `forwards` is taken.
    """
    for each in forwards:
        require_free(each)
    boot = boot or Boot()
    use = accelerator.choose(machine, accel)
    access = _ephemeral_access(boot)
    plan = make_plan(
        image=image,
        image_format=image_format,
        machine=machine,
        boot=boot,
        overrides=overrides or MachineOverrides(),
        accelerator=use,
        credentials=key_credentials(access) if access is not None else (),
    )
    plan = replace(plan, asked_forwards=tuple(forwards))
    with ExitStack() as stack:
        key = stack.enter_context(key_in_memory(access.private_text)) if access is not None else None
        folder = stack.enter_context(vanishing_folder(Path(tempfile.gettempdir()), ".metallize-boot-"))
        plan = stack.enter_context(prepared_files(plan, folder))
        plan = stack.enter_context(with_tpm(plan, folder))
        control, far = socket_pair(stack)
        ports = Ports(serial=TERMINAL, monitor=f"socket,fd={far.fileno()}", terminal=True)
        argv = guest_argv(plan, ports, paused=True)
        stack.enter_context(terminal_restored())
        process = stack.enter_context(
            spawn(
                tethered(argv),
                stdin=sys.__stdin__.fileno() if sys.__stdin__ else 0,
                stdout=1,
                stderr=2,
                pass_fds=(far.fileno(), *plan.descriptors),
                grace=timedelta(seconds=3),
            )
        )
        far.close()
        broken: list[BaseException] = []
        monitor = QmpMonitor(folder / "qmp.log", lambda _name, _data: None, broken.append)
        stack.callback(monitor.close)
        try:
            monitor.connect(control)
        except HostError as exc:
            if process.poll() is not None:
                raise CommandError(argv, process.returncode, "", hint="see QEMU's message above") from exc
            raise
        events.emit(Note(text=f"{machine.name}: {use.name.upper()} ({use.reason})"))
        if not plan.sandboxed:
            events.emit(Note(text=sandbox.NOTE, level=Level.WARNING))
        if not plan.internet:
            events.emit(Note(text=CLOSED))
        with contextlib.suppress(HostError):  # the person may end QEMU sooner than it answers
            found = monitor.forwards()
            for each in forwards:
                events.emit(Note(text=f"port {each.host or found.get(each.guest)} here is the guest's {each.guest}"))
            port = found.get(SSH_PORT)
            if port is not None:
                command = ssh_command(port, user_of(boot.ssh), key=key or key_of(boot.ssh))
                events.emit(Note(text=f"SSH, once the guest is up: {command}"))
            events.emit(Note(text="Ctrl-A X ends QEMU, Ctrl-A C is its monitor; the image is not changed"))
            monitor.execute("cont")
        status = process.wait()
        if status < 0:
            events.emit(Note(text=f"QEMU was ended by signal {-status} ({signal.Signals(-status).name})"))
        if broken:
            raise of_thread("the listener to QEMU's events", broken[0])
        return status


def require_free(forward: Forward) -> None:
    """Raises HostError where the port of this host cannot be had: QEMU would only say that it could not be set up."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", forward.host))
        except PermissionError as exc:
            raise HostError(
                f"port {forward.host} of this host is not permitted: ports below 1024 are for root",
                hint=f"choose a higher one: -p {forward.host + 8000}:{forward.guest}",
            ) from exc
        except OSError as exc:
            raise HostError(
                f"port {forward.host} of this host cannot be had: {exc.strerror}",
                hint=f"another program has it (ss -lntp 'sport = :{forward.host}'): choose another port before the "
                "colon, or 0 for any that is free",
            ) from exc


def _ephemeral_access(boot: Boot) -> SshAccess | None:
    """A key for this one boot, where the profile asks for one."""
    return ssh_access(boot.ssh) if boot.ssh is not None and boot.ssh.key == EPHEMERAL else None


@contextmanager
def terminal_restored() -> Iterator[None]:
    """QEMU makes the terminal raw; whatever ends it, the terminal is as before."""
    if not sys.__stdin__ or not sys.__stdin__.isatty():
        yield
        return
    number = sys.__stdin__.fileno()
    before = termios.tcgetattr(number)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(number, termios.TCSADRAIN, before)
