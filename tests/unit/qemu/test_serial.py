"""Logging in and running scripts over a serial line, with a recorded getty and with a real shell on a terminal."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import pty
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.report import Stage, StageTime
from metallize.qemu.normalise import Normaliser
from metallize.qemu.serial import LoginOutcome, SerialLogin, SerialShell, decode_answer

T = TypeVar("T")


class FakeWatch:
    """A guest that never fails."""

    stage = Stage.USERSPACE
    stages: tuple[StageTime, ...] = ()
    seconds = 0.0
    slowness = 1.0
    network_started = True

    def check(self) -> None: ...

    def reached(self, stage: Stage) -> None: ...

    def expect_reset(self) -> None: ...

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        while True:
            value = condition()
            if value is not None or deadline.expired:
                return value
            time.sleep(0.005)


class FakeConsole:
    """Clean text, from whoever feeds it; what is typed goes to a function."""

    def __init__(self, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._normaliser = Normaliser()
        self._text = ""
        self._last = time.monotonic()
        self.shown = threading.Lock()

    def feed(self, data: bytes) -> None:
        self._text += self._normaliser.feed(data)
        self._last = time.monotonic()

    def write(self, data: bytes) -> None:
        self._typed(data)

    @property
    def position(self) -> int:
        return len(self._text)

    def since(self, position: int) -> str:
        return self._text[position:]

    @property
    def line(self) -> str:
        return self._text.rpartition("\n")[2]

    @property
    def quiet_seconds(self) -> float:
        return time.monotonic() - self._last

    def tail(self, lines: int) -> tuple[str, ...]:
        return tuple(self._text.split("\n")[-lines:])


class Getty:
    """Answers lines as a getty and login would: a list of (what is typed, what is printed then)."""

    def __init__(self, greeting: str, turns: list[tuple[str, str]]) -> None:
        self.console = FakeConsole(self._typed)
        self.console.feed(greeting.encode())
        self._turns = turns
        self._held = ""
        self.lines: list[str] = []

    def _typed(self, data: bytes) -> None:
        self._held += data.decode()
        while "\r" in self._held:
            line, _, self._held = self._held.partition("\r")
            self.lines.append(line)
            if self._turns and self._turns[0][0] == line:
                self.console.feed(self._turns.pop(0)[1].encode())


def attempt(getty: Getty, *, seconds: float = 5) -> LoginOutcome:
    login = SerialLogin(getty.console, FakeWatch())
    return login.attempt("admin", "admin", Deadline.after(seconds, "a test")).outcome


MOTD = "\r\nLinux debian 6.12\r\nLast login: Mon Nov 23 from 10.0.2.2\r\n\x1b[?2004hadmin@debian:~$ "


@pytest.mark.parametrize(
    ("turns", "outcome"),
    [
        ([("admin", "admin\r\nPassword: "), ("admin", MOTD)], LoginOutcome.ACCEPTED),
        (
            [("admin", "admin\r\nPassword: "), ("admin", "\r\n\r\nLogin incorrect\r\ndebian login: ")],
            LoginOutcome.REFUSED,
        ),
        ([("admin", f"admin\r\n{MOTD}")], LoginOutcome.ACCEPTED),
        (
            [
                ("admin", "admin\r\nPassword: "),
                ("admin", "\r\nYou are required to change your password immediately.\r\nCurrent password: "),
            ],
            LoginOutcome.PASSWORD_CHANGE,
        ),
        ([("admin", "admin\r\nPassword: "), ("admin", "\r\nYour account has expired; bye\r\n")], LoginOutcome.CLOSED),
        ([("admin", "admin\r\n[   33.1] noise\r\nPassword: "), ("admin", MOTD)], LoginOutcome.ACCEPTED),
    ],
)
def test_the_ways_a_login_ends(turns: list[tuple[str, str]], outcome: LoginOutcome) -> None:
    getty = Getty("\r\nDebian GNU/Linux 13 debian ttyS0\r\n\r\ndebian login: ", turns)
    assert attempt(getty) is outcome


def test_a_prompt_that_the_kernel_wrote_over_is_asked_for_again() -> None:
    getty = Getty(
        "debian login: [   33.1] kvm_amd: noise\r\n",
        [("", "\r\ndebian login: "), ("admin", "admin\r\nPassword: "), ("admin", MOTD)],
    )
    assert attempt(getty, seconds=10) is LoginOutcome.ACCEPTED


def test_no_prompt_is_said() -> None:
    assert attempt(Getty("Last login: ", []), seconds=0.3) is LoginOutcome.NO_PROMPT


def test_a_wrong_password_and_then_the_right_one() -> None:
    getty = Getty(
        "debian login: ",
        [
            ("admin", "admin\r\nPassword: "),
            ("wrong", "\r\nLogin incorrect\r\ndebian login: "),
            ("admin", "admin\r\nPassword: "),
            ("admin", MOTD),
        ],
    )
    login = SerialLogin(getty.console, FakeWatch())
    deadline = Deadline.after(5, "a test")
    assert login.attempt("admin", "wrong", deadline).outcome is LoginOutcome.REFUSED
    assert login.attempt("admin", "admin", deadline).outcome is LoginOutcome.ACCEPTED


@contextlib.contextmanager
def shell_on_a_terminal(argv: list[str], disturb: bytes = b"") -> Iterator[SerialShell]:
    """A real login shell on a terminal; `disturb` comes into the first answer."""
    with terminal_with_a_shell(argv, disturb) as console:
        yield SerialShell(console, FakeWatch())


@contextlib.contextmanager
def terminal_with_a_shell(argv: list[str], disturb: bytes = b"", prompt: str = "$ ") -> Iterator[FakeConsole]:
    """A real shell's terminal, echo, line discipline and Ctrl-C included."""
    near, far = pty.openpty()
    argv = ["setsid", "--ctty", *argv]
    process = subprocess.Popen(argv, stdin=far, stdout=far, stderr=far, env={**os.environ, "PS1": prompt})
    os.close(far)
    console = FakeConsole(lambda data: _write(near, data))
    left = [disturb] if disturb else []

    def read() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(near, 4096):
                if left and re.search(rb"mz-begin-1\r?\n[A-Za-z0-9]", data):
                    at = data.index(b"mz-begin-1") + 20
                    data = data[:at] + left.pop() + data[at:]
                console.feed(data)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield console
    finally:
        process.kill()
        process.wait()
        thread.join(5)
        os.close(near)


def _write(near: int, data: bytes) -> None:
    while data:
        data = data[os.write(near, data) :]


@pytest.mark.parametrize("argv", [["sh", "-i"], ["bash", "--norc", "-i"]])
def test_scripts_run_and_answer_with_status_and_bytes(argv: list[str]) -> None:
    with shell_on_a_terminal(argv) as shell:
        deadline = Deadline.after(20, "a test")
        shell.start(deadline)
        answer = shell.run("echo out; echo err >&2; printf '\\000\\377mz-end-1\\n'; exit 7", deadline)
        assert (answer.status, answer.stderr) == (7, b"err\n")
        assert answer.stdout == b"out\n\x00\xffmz-end-1\n"
        long = "x" * 20_000
        assert shell.run(f"echo {long}", deadline).stdout == f"{long}\n".encode()
        shell.leave()


def test_an_answer_that_the_kernel_wrote_into_is_read_again() -> None:
    with shell_on_a_terminal(["sh", "-i"], disturb=b"[   33.1] kvm_amd: noise") as shell:
        deadline = Deadline.after(20, "a test")
        shell.start(deadline)
        answer = shell.run("seq 3000", deadline)
        assert answer.stdout.splitlines()[-1] == b"3000"
        shell.leave()


def test_a_script_that_does_not_end_is_given_up() -> None:
    with shell_on_a_terminal(["sh", "-i"]) as shell:
        shell.start(Deadline.after(20, "a test"))
        with pytest.raises(ShellError, match="no end of the script"):
            shell.run("sleep 30", Deadline.after(1, "a test"))


@settings(deadline=None)
@given(st.binary(max_size=500), st.binary(max_size=100), st.integers(0, 255), st.data())
def test_an_answer_is_whole_or_refused(out: bytes, err: bytes, status: int, data: st.DataObject) -> None:
    body = gzip.compress(f"{status}\n{len(out)}\n".encode() + out + err, mtime=0)
    text = base64.encodebytes(body).decode()
    answer = decode_answer(text)
    assert answer is not None
    assert (answer.status, answer.stdout, answer.stderr) == (status, out, err)
    cut = data.draw(st.integers(0, len(text) - 10))
    broken = decode_answer(text[:cut] + text[cut + data.draw(st.integers(4, 9)) :])
    assert broken is None or broken == answer
