"""What QEMU says last, and who hears it in which order: that it ended explains less than why."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from metallize.command import spawn
from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.guest import GuestFailed
from metallize.model.boot import ConsoleRules
from metallize.qemu.qmp import QmpMonitor
from metallize.qemu.vm import _Messages

QEMU = """
import json, socket, sys
port = socket.socket(fileno=int(sys.argv[1]))
def say(**message): port.sendall(json.dumps(message).encode() + b"\\r\\n")
say(QMP={"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []})
asked = json.loads(port.recv(65536))
say(**{"return": {}, **({"id": asked["id"]} if "id" in asked else {})})
sys.stdin.read()
say(event="SHUTDOWN", data={"guest": True, "reason": "guest-shutdown"}, timestamp={"seconds": 1, "microseconds": 1})
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.4], ids=["at once", "late"])
def test_a_guest_that_switches_itself_off_is_told_however_late_its_event_is_heard(
    tmp_path: Path, seconds: float
) -> None:
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")

    def heard(name: str, data: Mapping[str, object]) -> None:
        time.sleep(seconds)
        watch.event(name, data)

    near, far = socket.socketpair()
    monitor = QmpMonitor(tmp_path / "qmp.log", heard, lambda exc: watch.broke("events", exc))
    messages = _Messages(tmp_path / "qemu.log", watch)
    argv = [sys.executable, "-c", QEMU, str(far.fileno())]
    with spawn(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(far.fileno(),)) as process:
        far.close()
        messages.start(process, ended=monitor.heard_out)
        monitor.connect(near)
        assert process.stdin is not None
        process.stdin.close()
        with pytest.raises(GuestFailed) as failed:
            watch.wait(lambda: None, Deadline.after(20, "the guest's end"))
    assert failed.value.finding.rule == "guest-shutdown"
    monitor.close()
    messages.close()


def test_a_monitor_that_is_closed_keeps_nobody_waiting(tmp_path: Path) -> None:
    monitor = QmpMonitor(tmp_path / "qmp.log", lambda _name, _data: None, lambda _: None)
    monitor.heard_out()
    monitor.close()
    begun = time.monotonic()
    monitor.heard_out()
    assert time.monotonic() - begun < 1
