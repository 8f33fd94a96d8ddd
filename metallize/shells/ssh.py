"""SSH into a guest: nothing is trusted to answer, so that every step has its deadline."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metallize.deadline import Deadline
from metallize.guest import ShellError, ShellOutput, Watch
from metallize.model.boot import Ssh
from metallize.model.report import Stage

EPHEMERAL = "ephemeral"
_LOG = "metallize.paramiko"
BANNER = b"SSH-"
NO_ANSWER = "no SSH server answered"
_RETRY_SECONDS = 0.2
_NEXT_ATTEMPT_SECONDS = 1.0
"""A connection that waits may be one whose packets were lost before the network was up: another is begun beside it,
and the time to the next is doubled. slirp keeps even those that are closed here, and hands all of them to the guest
once its network is up; sshd then holds it against their address that they never log in (PerSourcePenalties).
"""
_NETWORK_SECONDS = 0.2
"""From the network card's start to an address, on a host of normal speed."""
_LATEST_START_SECONDS = 30.0
"""After userspace began, on a host of normal speed, for a machine that does not tell when its card starts."""
MOST_BYTES = 16 << 20
"""Of what a script may print; more is no answer."""
REFUSALS = 3
"""So often a login must be refused to count as such; pam_faillock locks an account at the fourth."""


class SshRefusedError(ShellError):
    """The server answered and did not let us in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAccess:
    """How to log in: a user with a password, or with a key."""

    user: str
    password: str | None
    key: paramiko.PKey | None
    private_text: str = field(default="", repr=False)
    """An ephemeral key in OpenSSH's format, for a person who is handed the guest."""


def ssh_access(ssh: Ssh) -> SshAccess:
    """The declared access with its key made or read. Raises ShellError for a key that cannot be read."""
    key: paramiko.PKey | None = None
    private_text = ""
    if ssh.key == EPHEMERAL:
        private_text = ephemeral_key()
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(private_text))
    elif ssh.key is not None:
        try:
            key = paramiko.PKey.from_path(Path(ssh.key).expanduser())
        except (OSError, ValueError, paramiko.SSHException) as exc:
            raise ShellError(f"the SSH key {ssh.key} cannot be read: {exc}") from exc
    return SshAccess(user=ssh.user, password=ssh.password, key=key, private_text=private_text)


def ephemeral_key() -> str:
    """A fresh ed25519 key, in OpenSSH's format, that exists in this process alone."""
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return private.decode()


def key_credentials(access: SshAccess) -> tuple[str, ...]:
    """SMBIOS strings that hand a key to one boot of an unmodified image (systemd.system-credentials(7)).

    `tmpfiles.extra`, read by systemd-tmpfiles since 252, writes the user's authorized_keys; the home is root's or
    the one of the same name in /home.
    """
    if access.key is None:
        return ()
    user = access.user
    home = "/root" if user == "root" else f"/home/{user}"
    line = base64.b64encode(f"{public_key(access)}\n".encode()).decode()
    rules = f"d {home}/.ssh 0700 {user} {user} -\nf+~ {home}/.ssh/authorized_keys 0600 {user} {user} - {line}\n"
    encoded = base64.b64encode(rules.encode()).decode()
    return (f"io.systemd.credential.binary:tmpfiles.extra={encoded}",)


def public_key(access: SshAccess) -> str:
    """The public half as a line of authorized_keys; empty for a login by password."""
    return f"{access.key.get_name()} {access.key.get_base64()} metallize" if access.key is not None else ""


class SshConnection(paramiko.Transport):
    """A connection to a server, of which no thread is left once it is closed.

    The deadline is the time for its handshake and its login. What goes wrong on it is raised, and needs no second voice
    on standard error.
    """

    def __init__(self, server: socket.socket, deadline: Deadline) -> None:
        super().__init__(server)
        self.set_log_channel(quiet_log())
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = max(5.0, deadline.remaining)

    def close(self) -> None:
        super().close()
        # else the timer of a handshake that was cut off is a thread of ours until the deadline
        self.packetizer.complete_handshake()


class SshShell:
    """A connection that is logged in; each script gets a channel of its own."""

    name = "ssh"

    def __init__(self, transport: paramiko.Transport, watch: Watch) -> None:
        self._transport = transport
        self._watch = watch

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        try:
            channel = self._transport.open_session(timeout=max(1.0, deadline.remaining))
            with contextlib.closing(channel), closed_at(deadline, self._transport):
                channel.exec_command("sh")
                channel.settimeout(max(1.0, deadline.remaining))
                channel.sendall(script.encode())
                channel.shutdown_write()
                return self._collect(channel, deadline)
        except (paramiko.SSHException, OSError, EOFError) as exc:
            why = f"the script did not end within {deadline.purpose}" if deadline.expired else in_words(exc)
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

    Raises SshRefusedError when it answers and refuses, ShellError when nothing answers in time, GuestFailed.
    """
    _await_network(watch, deadline, given_up)
    problem = NO_ANSWER
    refusals = 0
    while not deadline.expired and not given_up():
        attempts = Attempts()
        server = wait_for_banner(port, watch, deadline, given_up=given_up, attempts=attempts)
        if server is None:
            problem = attempts.problem() if problem == NO_ANSWER else problem
            break
        try:
            return _log_in(server, access, watch, deadline)
        except SshRefusedError:
            # before user sessions are allowed (pam_nologin) a right password is refused too
            refusals += 1
            if refusals == REFUSALS:
                raise
            watch.wait(lambda: None, deadline.sooner(1.5, "another attempt"))
        except (paramiko.SSHException, OSError, EOFError) as exc:
            # sshd answers before user sessions are allowed (pam_nologin), and may restart while the system settles
            problem = f"the SSH server answered, but the handshake failed: {in_words(exc)}"
            watch.wait(lambda: None, deadline.sooner(0.5, "another attempt"))
    raise ShellError(f"{problem} within {watch.seconds:.0f} s of power-on")


def _await_network(watch: Watch, deadline: Deadline, given_up: Callable[[], bool]) -> None:
    """Wait until the guest's network may be up; to ask before that harms (see _NEXT_ATTEMPT_SECONDS)."""

    def look() -> bool | None:
        if watch.network_started or watch.stage.rank >= Stage.LOGIN.rank or given_up():
            return True
        begun = [item.seconds for item in watch.stages if item.stage is Stage.USERSPACE]
        late = bool(begun) and watch.seconds - begun[0] > _LATEST_START_SECONDS * watch.slowness
        return True if late else None

    watch.wait(look, deadline)
    watch.wait(
        lambda: True if watch.stage.rank >= Stage.LOGIN.rank or given_up() else None,
        deadline.sooner(_NETWORK_SECONDS * watch.slowness, "an address"),
    )


@dataclass(slots=True)
class Attempts:
    """How the attempts to reach a server went: what a person is told when none did."""

    refused: int = 0
    unanswered: int = 0
    other: bytes = b""
    host: str = ""

    def problem(self) -> str:
        if self.host:
            return f"the host's port that leads to the guest did not take the connection: {self.host}"
        if self.other:
            said = self.other.decode(errors="replace").strip()[:80]
            return f"what answers is no SSH server: it said {said!r}"
        if self.refused:
            return "the guest refused the connection: nothing listens there, or its firewall rejects it"
        if self.unanswered:
            return "no SSH server answered: the connection was never taken, or nothing was said on it"
        return "no SSH server answered"


def wait_for_banner(
    port: int,
    watch: Watch,
    deadline: Deadline,
    *,
    given_up: Callable[[], bool] = lambda: False,
    attempts: Attempts | None = None,
) -> socket.socket | None:
    """A connection on which the server has begun to speak SSH; None when the time is over.

    The host's side of a forwarded port accepts before anything listens in the guest.
    """
    seen = attempts or Attempts()
    waiting: set[socket.socket] = set()
    pause = _NEXT_ATTEMPT_SECONDS
    next_attempt = 0.0
    with selectors.DefaultSelector() as selector:
        try:
            while not deadline.expired and not given_up():
                watch.check()
                now = time.monotonic()
                if now >= next_attempt:
                    next_attempt = now + pause
                    pause *= 2
                    client = _connected(port, seen)
                    if client is not None:
                        selector.register(client, selectors.EVENT_READ)
                        waiting.add(client)
                for key, _ in selector.select(0.1):
                    client = key.fileobj  # type: ignore[assignment]  # only sockets are registered
                    if client is None:
                        continue
                    said = _said(client)
                    if said.startswith(BANNER):
                        waiting.remove(client)
                        return client
                    if said or _closed(client):
                        # the guest itself refused: its network is up, and asking again costs nothing
                        seen.refused += not said
                        seen.other = said
                        selector.unregister(client)
                        waiting.remove(client)
                        client.close()
                        pause = _NEXT_ATTEMPT_SECONDS
                        next_attempt = min(next_attempt, now + _RETRY_SECONDS)
            return None
        finally:
            seen.unanswered = len(waiting)
            for client in waiting:
                client.close()


def _connected(port: int, seen: Attempts) -> socket.socket | None:
    try:
        client = socket.create_connection(("127.0.0.1", port), timeout=2)
    except OSError as exc:
        seen.host = in_words(exc)
        return None
    seen.host = ""
    client.setblocking(False)
    return client


def _said(client: socket.socket) -> bytes:
    try:
        return client.recv(255, socket.MSG_PEEK)
    except OSError:
        return b""


def _closed(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@cache
def quiet_log() -> str:
    """A log channel that nobody hears."""
    log = logging.getLogger(_LOG)
    log.propagate = False
    log.addHandler(logging.NullHandler())
    return _LOG


@contextlib.contextmanager
def closed_at(deadline: Deadline, transport: paramiko.Transport) -> Iterator[None]:
    """Some of paramiko's waits know no end: the connection is closed under them when the time is over."""
    timer = threading.Timer(deadline.remaining + 0.5, transport.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def in_words(exc: Exception) -> str:
    """What paramiko or the socket says, for a person."""
    text = str(exc) or type(exc).__name__
    match exc:
        case TimeoutError():
            said = "no answer came in time"
        case EOFError():
            said = "the server hung up"
        case ConnectionRefusedError():
            said = "the connection was refused"
        case ConnectionError():
            said = f"the connection was cut ({text})"
        case paramiko.SSHException() if "banner" in text:
            said = f"the server never said that it speaks SSH ({text})"
        case paramiko.SSHException() if "not active" in text or "closed" in text.lower():
            said = f"the server hung up ({text})"
        case OSError() if exc.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            said = f"there is no route to it ({text})"
        case _:
            said = text
    return said


def _authenticate(transport: paramiko.Transport, access: SshAccess, deadline: Deadline) -> None:
    transport.start_client(timeout=max(1.0, deadline.remaining))
    if access.key is not None:
        transport.auth_publickey(access.user, access.key)
    else:
        transport.auth_password(access.user, access.password or "")


def _log_in(server: socket.socket, access: SshAccess, watch: Watch, deadline: Deadline) -> SshShell:
    server.settimeout(None)
    transport = SshConnection(server, deadline)
    try:
        with closed_at(deadline, transport):
            _authenticate(transport, access, deadline)
        transport.set_keepalive(15)
    except paramiko.BadAuthenticationType as exc:
        transport.close()
        allowed = ", ".join(exc.allowed_types)
        raise SshRefusedError(f"the SSH server does not take a password: it allows {allowed}") from exc
    except paramiko.AuthenticationException as exc:
        transport.close()
        how = "key" if access.key is not None else "password"
        raise SshRefusedError(f"the SSH server refused the {how} of {access.user}: {exc}") from exc
    except BaseException:
        transport.close()
        raise
    return SshShell(transport, watch)
