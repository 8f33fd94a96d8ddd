"""What is said when SSH does not answer, and that every step ends at its time; with servers of this host."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

import paramiko
import pytest
from paramiko import common

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.boot import Ssh
from metallize.model.report import Stage
from metallize.shells.ssh import SshAccess, SshRefusedError, SshShell, connect, in_words, ssh_access
from tests.unit.shells.fakes import FakeWatch

ACCESS = SshAccess(user="admin", password="admin", key=None)


class Up(FakeWatch):
    stage = Stage.LOGIN


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which each connection is answered in a thread."""
    threads: list[threading.Thread] = []

    def one(client: socket.socket) -> None:
        with client:
            answer(client)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(client,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join(10)


def problem(port: int, seconds: float = 1.5) -> str:
    begun = time.monotonic()
    with pytest.raises(ShellError) as caught:
        connect(port, ACCESS, Up(), Deadline.after(seconds, "a test"))
    assert time.monotonic() - begun < seconds + 3
    return str(caught.value)


def silent(client: socket.socket) -> None:
    client.settimeout(10)
    try:
        while client.recv(100):
            pass
    except OSError:
        return


def says(*texts: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        for text in texts:
            client.sendall(text)
        silent(client)

    return answer


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


def test_nothing_of_a_handshake_that_was_cut_off_runs_on() -> None:
    before = set(threading.enumerate())
    with server(says(b"SSH-2.0-OpenSSH_10.0\r\n")) as port:
        problem(port)
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(1)  # what was told to end is about to
    assert [thread for thread in left if thread.is_alive()] == []


def test_a_port_of_the_host_that_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "the host's port that leads to the guest did not take the connection: the connection was refused" in problem(
        port
    )


class Refusing(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return common.AUTH_SUCCESSFUL if password == "right" else common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        time.sleep(4)  # never answers in time
        return False


def real_server(client: socket.socket) -> None:
    transport = paramiko.Transport(client)
    transport.set_log_channel("metallize.paramiko")
    key = ssh_access(Ssh(user="x", key="ephemeral")).key
    assert key is not None
    transport.add_server_key(key)
    with suppress(paramiko.SSHException, EOFError):  # of a client that only looked at the banner
        transport.start_server(server=Refusing())
        transport.join(20)
    transport.close()


@pytest.mark.slow
def test_a_refused_password_is_told_from_a_server_that_does_not_answer(capfd: pytest.CaptureFixture[str]) -> None:
    with server(real_server) as port, pytest.raises(SshRefusedError, match="refused the password of admin"):
        connect(port, ACCESS, Up(), Deadline.after(20, "a test"))
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_server_that_never_answers_a_request_is_left_at_the_deadline() -> None:
    access = SshAccess(user="admin", password="right", key=None)
    with server(real_server) as port:
        shell = connect(port, access, Up(), Deadline.after(20, "a test"))
        begun = time.monotonic()
        with pytest.raises(ShellError, match="SSH was lost: the script did not end within a test"):
            shell.run("true", Deadline.after(1, "a test"))
        assert time.monotonic() - begun < 3
        shell.close()


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
    shell = SshShell(cast("paramiko.Transport", None), Up())
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
