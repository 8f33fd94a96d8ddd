"""SSH into a guest: somebody is logged in when a shell has answered a challenge, and every step has its end.

What is final ends the wait at once: the errors of `ssh_errors` say which.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from metallize.deadline import Deadline
from metallize.guest import ShellError, ShellOutput, Watch
from metallize.patience import SSH_HANDSHAKE as HANDSHAKE_SECONDS
from metallize.patience import SSH_LOGIN as LOGIN_SECONDS
from metallize.patience import SSH_PAUSE as _PAUSE_SECONDS
from metallize.patience import SSH_SHELL as SHELL_SECONDS
from metallize.shells import openssh
from metallize.shells.challenge import Challenge
from metallize.shells.ssh_access import EPHEMERAL, SshAccess, ephemeral_key, key_credentials, public_key, ssh_access
from metallize.shells.ssh_banner import Attempts, await_network, wait_for_banner
from metallize.shells.ssh_connection import (
    MOST_PATIENT,
    Span,
    SshConnection,
    closed_at,
    closed_when_over,
    in_words,
)
from metallize.shells.ssh_errors import (
    BadServerError,
    NoCommonAlgorithmError,
    NoServerError,
    ServerClosedError,
    SshError,
    SshRefusedError,
    StalledError,
    no_session,
    no_shell,
    no_word,
)

__all__ = [
    "EPHEMERAL",
    "SshAccess",
    "SshRefusedError",
    "SshShell",
    "connect",
    "ephemeral_key",
    "in_words",
    "key_credentials",
    "public_key",
    "ssh_access",
]

_CHALLENGE_BYTES = 16_384
"""Of what comes in place of its answer."""
_SAID_NO = "Authentication failed."
"""What paramiko says where the server said no; with other words it tells of one that hung up or took too long."""
MOST_BYTES = 16 << 20
"""Of what a script may print; more is no answer."""


class SshShell(Protocol):
    """A shell over SSH that has answered, whichever client speaks to it."""

    @property
    def name(self) -> str: ...

    @property
    def client(self) -> str:
        """The client and its version: paramiko's or OpenSSH's own."""
        ...

    @property
    def server(self) -> str:
        """What the server said first."""
        ...

    def run(self, script: str, deadline: Deadline) -> ShellOutput: ...

    def close(self) -> None: ...


class ParamikoShell:
    """A connection that is logged in; each script gets a channel of its own."""

    name = "ssh"
    client = f"paramiko {paramiko.__version__}"

    def __init__(self, transport: paramiko.Transport, watch: Watch) -> None:
        self._transport = transport
        self._watch = watch

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        began = False
        try:
            channel = self._transport.open_session(timeout=max(1.0, deadline.remaining))
            with contextlib.closing(channel), closed_at(deadline, self._transport):
                channel.exec_command("sh")
                channel.settimeout(max(1.0, deadline.remaining))
                channel.sendall(script.encode())
                channel.shutdown_write()
                began = True
                return self._collect(channel, deadline)
        except (paramiko.SSHException, OSError, EOFError) as exc:
            why = in_words(exc)
            if deadline.expired:
                why = f"{'the script did not end' if began else 'no answer came'} in the time for {deadline.purpose}"
            raise ShellError(f"SSH was lost: {why}") from exc

    @property
    def server(self) -> str:
        """What the server said first."""
        return self._transport.remote_version

    def close(self) -> None:
        self._transport.close()

    def _collect(self, channel: paramiko.Channel, deadline: Deadline) -> ShellOutput:
        channel.settimeout(0.2)
        out, err = bytearray(), bytearray()
        while True:
            self._watch.check()
            data = None
            with contextlib.suppress(TimeoutError):
                data = channel.recv(65_536)
                out += data
            if channel.recv_stderr_ready():
                err += channel.recv_stderr(65_536)
            if data is not None and not data:
                break
            if len(out) + len(err) > MOST_BYTES:
                raise ShellError(f"the answer was too long: more than {MOST_BYTES >> 20} MiB")
            if deadline.expired:
                raise ShellError(f"no end of the script within the time for {deadline.purpose}")
        while chunk := channel.recv_stderr(65_536):
            err += chunk
            if len(out) + len(err) > MOST_BYTES:
                raise ShellError(f"the answer was too long: more than {MOST_BYTES >> 20} MiB")
        while not channel.exit_status_ready():
            if deadline.expired or not self._transport.is_active():
                raise ShellError("SSH ended without the script's exit status")
            channel.status_event.wait(0.1)
        return ShellOutput(status=channel.recv_exit_status(), stdout=bytes(out), stderr=bytes(err))


def connect(
    port: int,
    access: SshAccess,
    watch: Watch,
    deadline: Deadline,
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> SshShell:
    """Log in at a port of 127.0.0.1, as soon as a server answers there, unless it is `given_up` before.

    Raises an SshError that says what came instead of a shell, as soon as that is final; GuestFailed.
    """
    await_network(watch, deadline, given_up)
    seen: Counter[type[SshError]] = Counter()
    last: SshError | None = None
    incompatible: NoCommonAlgorithmError | None = None
    while not deadline.expired and not given_up():
        attempts = Attempts()
        server = wait_for_banner(port, watch, deadline, given_up=given_up, attempts=attempts)
        if server is None:
            last = last or NoServerError(attempts.problem())
            break
        try:
            if incompatible is not None:
                server.close()
                return openssh.log_in(port, access, watch, deadline, because=str(incompatible))
            return _log_in(server, access, watch, deadline)
        except SshError as exc:
            if isinstance(exc, NoCommonAlgorithmError) and incompatible is None:
                incompatible = exc  # OpenSSH's own client gets its turn
                continue
            last = exc
            seen[type(exc)] += 1
            if seen[type(exc)] >= exc.often:
                raise
        slowness = min(max(1.0, watch.slowness), MOST_PATIENT) / 2
        watch.wait(lambda: None, deadline.sooner(_PAUSE_SECONDS * max(1.0, slowness), "another attempt"))
    problem = last or incompatible or NoServerError("no SSH server answered")
    raise type(problem)(f"{problem} within {watch.seconds:.0f} s of power-on")


def _log_in(server: socket.socket, access: SshAccess, watch: Watch, deadline: Deadline) -> ParamikoShell:
    """One attempt, up to a shell that answers. Raises SshError, GuestFailed."""
    server.settimeout(None)
    connection = SshConnection(server, deadline)
    try:
        _handshake(connection, watch, deadline)
        _authenticate(connection, access, watch, deadline)
        _challenge(connection, access.user, watch, deadline)
    except BaseException:
        connection.close()
        watch.check()  # a guest that failed cuts its connections too
        raise
    connection.login_done()
    connection.set_keepalive(15)
    return ParamikoShell(connection, watch)


def _handshake(connection: SshConnection, watch: Watch, deadline: Deadline) -> None:
    span = Span(watch, deadline, HANDSHAKE_SECONDS, "the handshake of SSH")
    with closed_when_over(span, connection) as cut:
        try:
            connection.start_client()  # the span is its end
        except IncompatiblePeer as exc:
            if "ersion" in str(exc):
                raise BadServerError(f"the SSH server speaks another version of SSH: {exc}") from exc
            raise NoCommonAlgorithmError(f"the SSH server and paramiko cannot agree: {exc}") from exc
        except (paramiko.SSHException, OSError, EOFError) as exc:
            if connection.had_no_end:
                raise BadServerError(
                    "the SSH server answered, but what it says has no end: the handshake failed"
                ) from exc
            if cut.is_set():
                raise StalledError(
                    "the SSH server answered, but the handshake failed: it said nothing more, although the guest had "
                    f"{span.seconds:.0f} s for it (does something else than sshd listen there?)"
                ) from exc
            raise ServerClosedError(f"the SSH server answered, but the handshake failed: {in_words(exc)}") from exc


def _authenticate(connection: SshConnection, access: SshAccess, watch: Watch, deadline: Deadline) -> None:
    how = "key" if access.key is not None else "password"
    span = Span(watch, deadline, LOGIN_SECONDS, "the login of SSH")
    with closed_when_over(span, connection) as cut:
        try:
            if access.key is not None:
                more = connection.auth_publickey(access.user, access.key)
            else:
                more = connection.auth_password(access.user, access.password or "")
        except paramiko.BadAuthenticationType as exc:
            allowed = ", ".join(exc.allowed_types)
            raise SshRefusedError(f"the SSH server does not take a {how}: it allows {allowed}") from exc
        except (paramiko.SSHException, OSError, EOFError) as exc:
            if isinstance(exc, paramiko.AuthenticationException) and str(exc) == _SAID_NO:
                raise SshRefusedError(f"the SSH server refused the {how} of {access.user}: {exc}") from exc
            if connection.had_no_end:
                raise BadServerError("what the SSH server says to a login has no end") from exc
            if cut.is_set():
                raise StalledError(
                    f"the SSH server never said whether it takes the {how} of {access.user}, although the guest had "
                    f"{span.seconds:.0f} s for it (does a module of PAM wait for something?)"
                ) from exc
            raise ServerClosedError(f"the SSH server cut the connection at the login: {in_words(exc)}") from exc
    if more:
        raise SshRefusedError(f"the SSH server takes the {how} of {access.user}, and asks for more: {', '.join(more)}")


def _challenge(connection: SshConnection, user: str, watch: Watch, deadline: Deadline) -> None:
    """Whether a shell is behind the login: it must answer what nothing else can."""
    challenge = Challenge()
    span = Span(watch, deadline, SHELL_SECONDS, "a shell over SSH")
    with closed_when_over(span, connection) as cut:
        try:
            channel = connection.open_session(timeout=max(1.0, deadline.remaining))
            with contextlib.closing(channel):
                channel.set_combine_stderr(True)
                channel.exec_command("sh")
                with contextlib.suppress(OSError):  # of a channel that has ended already: what it printed tells
                    channel.sendall(challenge.script.encode())
                    channel.shutdown_write()
                said, status = _answer(channel, challenge)
        except paramiko.ChannelException as exc:
            raise no_session(user, exc.text) from exc
        except (paramiko.SSHException, OSError, EOFError) as exc:
            if cut.is_set():
                raise no_word(user, span.seconds) from exc
            if connection.is_active():
                raise no_session(user, "the server runs no command there") from exc
            raise ServerClosedError(f"the SSH server hung up before a shell answered: {in_words(exc)}") from exc
    if challenge.is_answered(said):
        return
    if cut.is_set() and not said.strip():
        raise no_word(user, span.seconds)
    if not said.strip() and status < 0 and not connection.is_active():
        raise ServerClosedError("the SSH server hung up before a shell answered")
    raise no_shell(user, status, said)


def _answer(channel: paramiko.Channel, challenge: Challenge) -> tuple[str, int]:
    """What was printed, until the answer is among it or nothing more comes; and the exit status, -1 for none."""
    said = b""
    while len(said) < _CHALLENGE_BYTES and (data := channel.recv(4096)):
        said += data
        if challenge.is_answered(said.decode(errors="replace")):
            return said.decode(errors="replace"), 0
    status = channel.recv_exit_status() if len(said) < _CHALLENGE_BYTES else -1
    return said.decode(errors="replace"), status
