"""The life of one virtual machine: everything it needs is acquired here, and released in reverse.

QEMU gets its ends of the serial port and of the monitor as open sockets, and its overlay and firmware variables as
open files that never had a name: whatever ends this process, nothing of the guest remains, and while it lives the
same disk can be booted again. QEMU itself is killed by the kernel when the thread that started it ends (prctl(2),
PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO

from metallize.command import run, spawn, tethered
from metallize.console.effort import busy_seconds
from metallize.console.port import SerialConsole
from metallize.console.watch import BootWatch
from metallize.errors import MAKE_ROOM, CommandError, HostError, told_if_left
from metallize.model.boot import Media
from metallize.qemu import chain, netboot
from metallize.qemu.argv import WRITABLE, GuestPlan, Ports, guest_argv, overlay_argv
from metallize.qemu.board import copy_out
from metallize.qemu.descriptors import descriptor_path, nameless_file, socket_pair
from metallize.qemu.enrolment import enrol
from metallize.qemu.firmware import FirmwarePair
from metallize.qemu.qmp import QmpMonitor
from metallize.qemu.repro import repro_script
from metallize.qemu.seed import seed_image
from metallize.qemu.tpm import with_tpm


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGuest:
    """A machine that is switched on; it satisfies `metallize.guest.Guest`."""

    plan: GuestPlan
    folder: Path
    console: SerialConsole
    monitor: QmpMonitor
    watch: BootWatch
    forwards: dict[int, int]

    def host_port(self, guest_port: int) -> int:
        return self.forwards[guest_port]


def make_run_folder(runs: Path, now: datetime | None = None) -> Path:
    """A new folder named by the time in UTC; two runs in one second get two folders.

    For our own user alone: what a guest prints and what is typed may be secret.
    """
    stamp = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = runs / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise HostError(f"too many runs began at {stamp} in {runs}")


@contextmanager
def prepared_files(plan: GuestPlan, folder: Path) -> Iterator[GuestPlan]:
    """The plan with its overlay and its copy of the firmware's variables, for one machine after another.

    They are gone as soon as nobody holds them open any more: their names are those of our descriptors.
    """
    served: list[Path] = []
    with told_if_left(lambda: [str(each) for each in served if each.exists()]), ExitStack() as stack:
        if plan.layers and not chain.whole(plan.layers):
            layers, numbers = chain.opened(stack, plan.layers)
            plan = replace(plan, opened_layers=layers, descriptors=(*plan.descriptors, *numbers))
        if plan.media in WRITABLE:
            plan = _with_disk(plan, folder, stack)
        if plan.media is Media.NETWORK:
            web = stack.enter_context(netboot.web_server(plan.image, folder / netboot.LOG_NAME))
            url = netboot.url_for(web.http.port, internet=plan.internet)
            own = stack.enter_context(netboot.served_folder(plan.image, folder, url))
            served.append(own)
            bridge = "" if plan.internet else netboot.bridge_command(web.http.port)
            plan = replace(plan, served=own, web=web, bridge=bridge)
        if plan.firmware is not None:
            variables = _variables(plan, plan.firmware, folder, stack)
            path = descriptor_path(variables)
            plan = replace(plan, firmware_variables=path, descriptors=(*plan.descriptors, variables))
        if plan.seed_files:
            seed = nameless_file(stack, folder)  # it may hold secrets, and a run folder is shown to others
            with os.fdopen(os.dup(seed), "wb") as file:
                file.write(seed_image(dict(plan.seed_files)))
            plan = replace(plan, seed=descriptor_path(seed), descriptors=(*plan.descriptors, seed))
        if plan.tpm:
            plan = replace(plan, tpm_state=nameless_file(stack, folder))
        if plan.snapshots and plan.overlay is None:
            state = nameless_file(stack, folder)
            _made(("qemu-img", "create", "-q", "-f", "qcow2", descriptor_path(state), "1M"), folder, state)
            plan = replace(plan, state=descriptor_path(state), descriptors=(*plan.descriptors, state))
        if plan.board is not None:
            loaded = tuple(nameless_file(stack, folder) for _ in plan.board.files)
            for name, number in zip(plan.board.files, loaded, strict=True):
                copy_out(plan.board, name, number)
            paths = tuple(descriptor_path(number) for number in loaded)
            plan = replace(plan, board_files=paths, descriptors=(*plan.descriptors, *loaded))
        yield plan


def _with_disk(plan: GuestPlan, folder: Path, stack: ExitStack) -> GuestPlan:
    """The plan with an overlay over the image, and with a log of what is written to it where there is to be one."""
    overlay = nameless_file(stack, folder)
    argv = overlay_argv(plan, descriptor_path(overlay))
    _made(argv, folder, overlay, *plan.descriptors, hint="is the image what its suffix says?")
    plan = replace(plan, overlay=descriptor_path(overlay), descriptors=(*plan.descriptors, overlay))
    if not plan.logs_writes:
        return plan
    log = nameless_file(stack, folder)
    return replace(plan, write_log=descriptor_path(log), descriptors=(*plan.descriptors, log))


def _variables(plan: GuestPlan, firmware: FirmwarePair, folder: Path, stack: ExitStack) -> int:
    """The firmware's variables as the machine first finds them: its template, and in it the plan's own keys."""
    source, form, inherited = firmware.variables, firmware.variables_format, tuple[int, ...]()
    if plan.keys:
        bare = nameless_file(stack, folder)
        _made(("qemu-img", "convert", "-f", form, "-O", "raw", source, descriptor_path(bare)), folder, bare)
        enrol(descriptor_path(bare), plan.keys, plan.started_unsigned)
        source, form, inherited = descriptor_path(bare), "raw", (bare,)
    variables = nameless_file(stack, folder)
    argv = ("qemu-img", "convert", "-f", form, "-O", plan.variables_format, source, descriptor_path(variables))
    _made(argv, folder, variables, *inherited)
    return variables


def _made(argv: Sequence[str | Path], folder: Path, *descriptors: int, hint: str | None = None) -> None:
    """Have a file made in the folder, which has no name there. Raises HostError where there is no room for it."""
    try:
        run(argv, pass_fds=descriptors, hint=hint)
    except CommandError as exc:
        if exc.full:
            raise HostError(
                f"there is no room in {folder} for what the guest writes: {exc.output_tail.strip()}", hint=MAKE_ROOM
            ) from exc
        raise


@contextmanager
def running_guest(plan: GuestPlan, folder: Path, watch: BootWatch) -> Iterator[RunningGuest]:
    """Switch a machine with `prepared_files` on, and off again on leaving, as if its plug were pulled.

    Raises HostError or CommandError when QEMU is missing, refuses its arguments or the disk is full, BugError where a
    thread that reads what it shows has died of one, and be it at the very end.
    """
    with ExitStack() as stack:
        plan = stack.enter_context(with_tpm(plan, folder))
        serial, serial_far = socket_pair(stack)
        control, control_far = socket_pair(stack)
        others = {name: socket_pair(stack) for name in plan.other_ports}
        ports = Ports(
            serial=f"socket,fd={serial_far.fileno()}",
            monitor=f"socket,fd={control_far.fileno()}",
            others=tuple(f"socket,fd={far.fileno()}" for _, far in others.values()),
        )
        inherited = (serial_far, control_far, *(far for _, far in others.values()))
        argv = guest_argv(plan, ports, paused=True)
        (folder / "argv.txt").write_text("\n".join(argv) + "\n", encoding="utf-8")
        script = folder / "repro.sh"
        script.write_text(repro_script(plan), encoding="utf-8")
        script.chmod(0o755)
        console = SerialConsole(
            serial, folder, watch, others={name: near for name, (near, _) in others.items()}, echoing=plan.echoing_ports
        )
        stack.callback(console.close)
        messages = _Messages(folder / "qemu.log", watch)
        stack.callback(messages.close)
        process = stack.enter_context(
            spawn(
                tethered(argv),
                stderr=subprocess.PIPE,
                pass_fds=(*(far.fileno() for far in inherited), *plan.descriptors),
                grace=timedelta(seconds=3),
            )
        )
        stack.callback(_kill, process, watch)
        for far in inherited:
            far.close()
        monitor = QmpMonitor(folder / "qmp.log", watch.event, partial(watch.broke, "the listener to QEMU's events"))
        stack.callback(monitor.close)
        messages.start(process, ended=monitor.heard_out)
        try:
            monitor.connect(control)
        except HostError as exc:
            raise _refused(argv, process, messages) or exc from exc
        forwards = monitor.forwards() if plan.forwards else {}
        console.start()
        watch.switched_on(partial(busy_seconds, process.pid), display=plan.display)
        monitor.execute("cont")
        yield RunningGuest(plan=plan, folder=folder, console=console, monitor=monitor, watch=watch, forwards=forwards)
    watch.check_threads()


def _kill(process: subprocess.Popen[bytes], watch: BootWatch) -> None:
    """Pull the plug."""
    watch.ending()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


def _refused(
    argv: tuple[str, ...], process: subprocess.Popen[bytes], messages: _Messages
) -> HostError | CommandError | None:
    """Why QEMU ended before it greeted us; None when it still runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    if process.returncode is None:
        return None
    messages.close()
    text = messages.text()
    if shutil.which(argv[0]) is None:
        return HostError(f"`{argv[0]}` is not installed", hint="install QEMU: apt-get install qemu-system-x86")
    return CommandError(argv, process.returncode, text, hint="QEMU refused to start: see its message")


class _Messages:
    """Reads QEMU's standard error to its end: into qemu.log, and line by line to the watch."""

    def __init__(self, path: Path, watch: BootWatch) -> None:
        self._path = path
        self._watch = watch
        self._thread: threading.Thread | None = None

    def start(self, process: subprocess.Popen[bytes], *, ended: Callable[[], None]) -> None:
        """Read until it ends; `ended` returns once what it said elsewhere of its end was heard."""
        if process.stderr is None:
            raise AssertionError("QEMU was started without a pipe for its messages")
        self._thread = threading.Thread(
            target=self._read, args=(process, process.stderr, ended), name="qemu", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join(5)

    def text(self) -> str:
        return self._path.read_text(encoding="utf-8", errors="replace")[-4000:] if self._path.exists() else ""

    def _read(self, process: subprocess.Popen[bytes], pipe: IO[bytes], ended: Callable[[], None]) -> None:
        try:
            self._follow(process, pipe, ended)
        except BaseException as exc:  # noqa: BLE001 - raised in whoever waits for the guest
            self._watch.broke("the reader of QEMU's messages", exc)

    def _follow(self, process: subprocess.Popen[bytes], pipe: IO[bytes], ended: Callable[[], None]) -> None:
        last = ""
        with self._path.open("wb", buffering=0) as log:
            while data := _read_once(pipe):
                log.write(data)
                for line in data.decode(errors="replace").splitlines():
                    self._watch.qemu_line(line)
                    last = line.strip() or last
        status = process.wait()
        ended()
        self._watch.fail(
            "qemu-ended",
            f"QEMU ended by itself with status {status}" if status >= 0 else f"QEMU was killed by signal {-status}",
            line=last,
            remedy="see qemu.log in the run folder",
        )


def _read_once(pipe: IO[bytes]) -> bytes:
    """What has come; nothing at the end, and where the pipe is closed already."""
    try:
        return os.read(pipe.fileno(), 65536)
    except (ValueError, OSError):
        return b""
