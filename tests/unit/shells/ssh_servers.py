"""SSH servers of this host: one that runs what it is asked, and all those that do something else instead."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import paramiko
from paramiko import common

from metallize.model.boot import Ssh
from metallize.model.report import Stage
from metallize.shells.ssh_access import SshAccess, ssh_access
from tests.unit.shells.fakes import FakeWatch

ACCESS = SshAccess(user="admin", password="right", key=None)
BANNER = b"SSH-2.0-OpenSSH_10.0\r\n"


class Up(FakeWatch):
    stage = Stage.LOGIN


class Idle(Up):
    """A guest that only waits."""

    idles = True


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


def without_end(begin: bytes, chunk: bytes) -> Callable[[socket.socket], None]:
    """Says something and then more of it, for as long as anybody listens."""

    def answer(client: socket.socket) -> None:
        with suppress(OSError):
            client.sendall(begin)
            while True:
                client.sendall(chunk)

    return answer


Command = Callable[[paramiko.Channel, bytes], None]


def shell(channel: paramiko.Channel, command: bytes) -> None:
    """What sshd does: the command is the login shell's."""
    given = b"".join(iter(lambda: channel.recv(4096), b""))
    done = subprocess.run(["sh", "-c", command.decode()], check=False, input=given, capture_output=True)
    channel.sendall(done.stdout)
    channel.sendall_stderr(done.stderr)
    channel.send_exit_status(done.returncode)


def prints(text: bytes, status: int = 0) -> Command:
    """A command that is run in place of the shell, and looks at nothing."""

    def run(channel: paramiko.Channel, _command: bytes) -> None:
        channel.sendall(text)
        channel.send_exit_status(status)

    return run


def cat(channel: paramiko.Channel, command: bytes) -> None:
    """Repeats what it is told, the command too."""
    channel.sendall(command)
    while data := channel.recv(4096):
        channel.sendall(data)
    channel.send_exit_status(0)


def yes(channel: paramiko.Channel, _command: bytes) -> None:
    with suppress(OSError):
        while True:
            channel.sendall(b"y\n" * 1000)


def sleeps(channel: paramiko.Channel, _command: bytes) -> None:
    for _ in range(100):
        if channel.closed:
            return
        time.sleep(0.1)


def cuts(channel: paramiko.Channel, _command: bytes) -> None:
    channel.get_transport().close()


@dataclass
class Sshd(paramiko.ServerInterface):
    """Takes the password `right` or `key`, and runs `command` for each request."""

    command: Command = shell
    session: int = common.OPEN_SUCCEEDED
    key: paramiko.PKey | None = None
    runs: bool = True
    """Whether a request for a command is granted."""
    after: float = 0.0
    """Seconds before a session is opened."""
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of the transport: ciphers, kex, digests, key_types."""
    logins: list[str] = field(default_factory=list)
    """What each connection's client called itself."""

    def __call__(self, client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        transport.set_log_channel("metallize.paramiko")
        for name, value in self.options.items():
            setattr(transport.get_security_options(), name, value)
        host_key = ssh_access(Ssh(user="x", key="ephemeral")).key
        assert host_key is not None
        transport.add_server_key(host_key)
        with suppress(paramiko.SSHException, EOFError):  # of a client that only looked at the banner
            transport.start_server(server=self)
            self.logins.append(transport.remote_version)
            transport.join(20)
        transport.close()

    def check_auth_password(self, username: str, password: str) -> int:
        return common.AUTH_SUCCESSFUL if password == "right" else common.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return common.AUTH_SUCCESSFUL if key == self.key else common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey" if self.key is not None else "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        time.sleep(self.after)
        return self.session

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if not self.runs:
            return False

        def run() -> None:
            with suppress(OSError, EOFError):
                self.command(channel, command)
                channel.shutdown_write()
                channel.close()

        timer = threading.Timer(0.05, run)  # when the answer to the request is out
        timer.daemon = True
        timer.start()
        return True
