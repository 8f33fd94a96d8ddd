"""What is said when SSH does not answer, and that every step ends at its time; with servers of this host."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import cast

import paramiko
import pytest

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.shells.ssh import ParamikoShell, SshAccess, SshRefusedError, connect, in_words
from tests.unit.shells.ssh_servers import ACCESS, Sshd, Up, says, server, silent


def problem(port: int, seconds: float = 1.5) -> str:
    begun = time.monotonic()
    with pytest.raises(ShellError) as caught:
        connect(port, ACCESS, Up(), Deadline.after(seconds, "a test"))
    assert time.monotonic() - begun < seconds + 3
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _client: None, "the guest refused the connection"),
        (silent, "the connection was never taken, or nothing was said on it"),
        (says(b"220 mail ready\r\n"), "what answers is no SSH server: it said '220 mail ready'"),
        (says(b"SSH-2.0-OpenSSH_10.0\r\n"), "the handshake failed"),
        (says(b"SSH-2.0-OpenSSH_10.0\r\n", b"\x00" * 64), "the handshake failed"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    answer: Callable[[socket.socket], None], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with server(answer) as port:
        assert words in problem(port)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_nothing_of_a_handshake_that_was_cut_off_runs_on() -> None:
    before = set(threading.enumerate())
    with server(says(b"SSH-2.0-OpenSSH_10.0\r\n")) as port:
        problem(port)
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(1)  # what was told to end is about to
    assert [thread for thread in left if thread.is_alive()] == []


@pytest.mark.slow
def test_a_port_of_the_host_that_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "the host's port that leads to the guest did not take the connection: the connection was refused" in problem(
        port
    )


@pytest.mark.slow
def test_a_refused_password_is_told_from_a_server_that_does_not_answer(capfd: pytest.CaptureFixture[str]) -> None:
    wrong = SshAccess(user="admin", password="wrong", key=None)
    with server(Sshd()) as port, pytest.raises(SshRefusedError, match="refused the password of admin") as caught:
        connect(port, wrong, Up(), Deadline.after(20, "a test"))
    assert caught.value.reason == "refused"
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_server_that_never_answers_a_script_is_left_at_the_deadline() -> None:
    with server(Sshd()) as port:
        shell = connect(port, ACCESS, Up(), Deadline.after(20, "a test"))
        begun = time.monotonic()
        with pytest.raises(ShellError, match=r"no end of the script|did not end in the time"):
            shell.run("sleep 3", Deadline.after(1, "a test"))
        assert time.monotonic() - begun < 3
        shell.close()


class Deaf:
    """A connection whose other end has gone without a word."""

    def open_session(self, timeout: float) -> paramiko.Channel:
        raise paramiko.SSHException("Timeout opening channel.")


def test_a_guest_that_has_gone_without_a_word_gives_no_answer() -> None:
    shell = ParamikoShell(cast("paramiko.Transport", Deaf()), Up())
    with pytest.raises(ShellError, match="SSH was lost: no answer came in the time for a test"):
        shell.run("true", Deadline.after(0, "a test"))


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (TimeoutError(), "no answer came in time"),
        (EOFError(), "the server hung up"),
        (ConnectionRefusedError(), "the connection was refused"),
        (ConnectionResetError("reset"), "the connection was cut (reset)"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "there is no route to it"),
        (paramiko.SSHException("Error reading SSH protocol banner"), "never said that it speaks SSH"),
        (paramiko.SSHException("SSH session not active"), "the server hung up"),
        (paramiko.SSHException("something else"), "something else"),
    ],
)
def test_each_error_has_its_words(exc: Exception, words: str) -> None:
    assert words in in_words(exc)


class Channel:
    """A script that prints without end, or for so long."""

    def __init__(self, out: bytes = b"", err: bytes = b"", parts: int = 1 << 30) -> None:
        self._out, self._err, self._left = out, err, parts

    def settimeout(self, seconds: float) -> None: ...

    def recv(self, size: int) -> bytes:
        if not self._left:
            return b""
        self._left -= 1
        if not self._out:
            raise TimeoutError
        return self._out[:size]

    def recv_stderr_ready(self) -> bool:
        return bool(self._err)

    def recv_stderr(self, size: int) -> bytes:
        return self._err[:size] if self._left else b""

    def exit_status_ready(self) -> bool:
        return True

    def recv_exit_status(self) -> int:
        return 0


def collected(channel: Channel, seconds: float = 20) -> int:
    shell = ParamikoShell(cast("paramiko.Transport", None), Up())
    answer = shell._collect(cast("paramiko.Channel", channel), Deadline.after(seconds, "a test"))
    return len(answer.stdout) + len(answer.stderr)


@pytest.mark.parametrize(
    "channel", [Channel(out=b"y" * 65_536), Channel(err=b"y" * 65_536), Channel(b"o", b"e" * 65_536)]
)
def test_an_answer_without_end_is_none(channel: Channel) -> None:
    with pytest.raises(ShellError, match="too long: more than 16 MiB"):
        collected(channel)


def test_an_answer_that_drips_ends_at_its_time() -> None:
    with pytest.raises(ShellError, match="no end of the script"):
        collected(Channel(out=b"."), 0.2)


def test_a_long_answer_is_whole() -> None:
    assert collected(Channel(out=b"y" * 65_536, parts=200)) == 200 * 65_536
