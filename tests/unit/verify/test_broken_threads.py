"""A thread of ours that dies of a bug ends every wait at once, as a bug, and never as a verdict on the image."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from metallize.command import spawn
from metallize.console import normalise
from metallize.console.port import SerialConsole
from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.errors import BugError, ExitCode, HostError
from metallize.guest import GuestFailed, ShellError
from metallize.model.boot import ConsoleRules
from metallize.qemu.qmp import QmpMonitor
from metallize.qemu.vm import _Messages
from metallize.serve import server
from metallize.serve.http import HttpServer
from metallize.serve.log import FetchLog
from metallize.verify.task import Task
from tests.unit.verify.healthy import HealthyWatch, verified

SOON_SECONDS = 10.0


def a_watch() -> BootWatch:
    return BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")


def planted(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("planted")


def waits(watch: BootWatch) -> None:
    """Wait for what never comes, far longer than a test may take."""
    watch.wait(lambda: None, Deadline.after(600, "what never comes"))


def ends_as_a_bug(watch: BootWatch, who: str) -> None:
    begun = time.monotonic()
    with pytest.raises(BugError, match=rf"bug in metallize: .*{who}.*: ZeroDivisionError: planted") as told:
        waits(watch)
    assert time.monotonic() - begun < SOON_SECONDS
    assert told.value.exit_code is ExitCode.MACHINERY
    assert isinstance(told.value.__cause__, ZeroDivisionError)


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Callable[[BootWatch, bytes], SerialConsole]]:
    """A console that prints something, and goes on to be held open by its machine."""
    ends: list[socket.socket] = []
    consoles: list[SerialConsole] = []

    def feed(watch: BootWatch, data: bytes) -> SerialConsole:
        near, far = socket.socketpair()
        ends.append(far)
        console = SerialConsole(near, tmp_path, watch)
        consoles.append(console)
        console.start()
        far.sendall(data)
        return console

    yield feed
    for far in ends:
        far.close()
    for console in consoles:
        console.close()


Feed = Callable[[BootWatch, bytes], SerialConsole]


def test_a_bug_in_the_normaliser(fed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise.Normaliser, "feed", planted)
    watch = a_watch()
    fed(watch, b"Linux version 6.12\r\n")
    ends_as_a_bug(watch, "console")


def test_a_bug_in_a_rule(fed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scanner, "scan", planted)
    watch = a_watch()
    fed(watch, b"Linux version 6.12\r\n")
    ends_as_a_bug(watch, "console")


def test_a_bug_in_whoever_is_told_of_the_stages(fed: Feed) -> None:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", on_stage=planted)
    fed(watch, b"Linux version 6.12\r\n")
    ends_as_a_bug(watch, "console")


def test_a_reader_of_our_output_that_has_gone_is_no_full_disk(fed: Feed) -> None:
    def gone(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0", on_stage=gone)
    fed(watch, b"Linux version 6.12\r\n")
    with pytest.raises(BrokenPipeError):
        waits(watch)


def test_a_bug_counts_before_and_after_the_guest_has_failed() -> None:
    watch = a_watch()
    watch.fail("qemu-ended", "QEMU ended by itself")
    with pytest.raises(GuestFailed):
        waits(watch)
    watch.broke("somebody", ZeroDivisionError("planted"))
    ends_as_a_bug(watch, "somebody")
    watch.ending()
    ends_as_a_bug(watch, "somebody")
    with pytest.raises(BugError):
        watch.check_threads()


def test_the_first_bug_counts() -> None:
    watch = a_watch()
    watch.broke("somebody", ZeroDivisionError("planted"))
    watch.broke("another", KeyError("consequence"))
    ends_as_a_bug(watch, "somebody")


def test_a_full_disk_is_the_hosts() -> None:
    watch = a_watch()
    watch.broke("somebody", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(HostError, match="No space left"):
        watch.check()


def test_a_task_that_died_of_a_bug_is_told_even_where_nobody_asks() -> None:
    watch = a_watch()
    task: Task[int] = Task("serial", planted, watch)
    ends_as_a_bug(watch, "serial")
    with pytest.raises(ZeroDivisionError):
        task.value()


@pytest.mark.parametrize("error", [ShellError("no shell"), HostError("QEMU is gone")])
def test_a_task_that_says_why_it_failed_is_no_bug(error: Exception) -> None:
    def work() -> NoReturn:
        raise error

    watch = a_watch()
    task: Task[int] = Task("ssh", work, watch)
    task.join(SOON_SECONDS)
    watch.check_threads()
    with pytest.raises(type(error)):
        task.value()


def test_there_is_no_verdict_where_a_thread_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verified()[0].passed

    def broken(_: object) -> NoReturn:
        raise BugError("somebody", ZeroDivisionError("planted"))

    monkeypatch.setattr(HealthyWatch, "check_threads", broken)
    with pytest.raises(BugError):
        verified()


def test_a_bug_in_what_reads_qemus_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BootWatch, "qemu_line", planted)
    watch = a_watch()
    messages = _Messages(tmp_path / "qemu.log", watch)
    argv = [sys.executable, "-c", "import sys, time; print('words', file=sys.stderr, flush=True); time.sleep(600)"]
    with spawn(argv, stderr=subprocess.PIPE) as process:
        messages.start(process, ended=lambda: None)
        ends_as_a_bug(watch, "messages")


def test_a_bug_in_what_hears_qemus_events(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    watch = a_watch()

    def qemu() -> None:
        version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
        with far:
            far.sendall(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\r\n")
            while data := far.recv(65536):  # a whole request, with no line's end
                asked = json.loads(data)
                answer = {"return": {}, **({"id": asked["id"]} if "id" in asked else {})}
                far.sendall(json.dumps(answer).encode() + b"\r\n")
                event = {"event": "RESET", "data": {}, "timestamp": {"seconds": 1, "microseconds": 1}}
                far.sendall(json.dumps(event).encode() + b"\r\n")

    peer = threading.Thread(target=qemu, daemon=True)
    peer.start()
    monitor = QmpMonitor(tmp_path / "qmp.log", planted, lambda exc: watch.broke("events", exc))
    monitor.connect(near)
    ends_as_a_bug(watch, "events")
    monitor.close()
    peer.join(SOON_SECONDS)


def test_a_server_that_dies_ends_the_serving_as_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()
    served = HttpServer.serve_forever

    def dies(self: HttpServer, poll: float) -> None:
        threading.Timer(0.1, self.shutdown).start()
        served(self, poll)
        died.set()
        planted()

    class NoFiles:
        pass

    monkeypatch.setattr(HttpServer, "serve_forever", dies)
    with (
        pytest.raises(BugError, match="a server: ZeroDivisionError"),
        server.serving(NoFiles(), FetchLog(lambda _: None), address="127.0.0.1", http_port=0),  # type: ignore[arg-type]  # nobody asks for one
    ):
        assert died.wait(SOON_SECONDS)
