"""A password tried over SSH where none may be taken: what the server allows, and what it says to the password."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

import paramiko

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.shells.ssh_connection import SshConnection, closed_at, in_words

BY_PASSWORD = frozenset({"password", "keyboard-interactive"})
"""The methods of SSH in which a person is asked for a password (RFC 4252, RFC 4256)."""
_REFUSED = "refused"
_SAID_NO = "Authentication failed."
"""What paramiko says where the server said no; with other words it tells of one that hung up or took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordAttempt:
    """What a server made of one user and password."""

    allowed: tuple[str, ...]
    """How this user may log in, as the server says to one who has shown nothing yet."""
    answer: str
    """`refused`, `accepted`, or in words."""

    @property
    def refused(self) -> bool:
        return self.answer == _REFUSED

    @property
    def asks(self) -> bool:
        """Whether a right password would let this user in."""
        return not BY_PASSWORD.isdisjoint(self.allowed)


def try_password(port: int, user: str, password: str, deadline: Deadline) -> PasswordAttempt:
    """Log in at a port of 127.0.0.1 with a password. Raises ShellError where no SSH server says what comes of it."""
    try:
        server = socket.create_connection(("127.0.0.1", port), timeout=max(1.0, deadline.remaining))
        with contextlib.closing(server):
            server.settimeout(None)
            return _attempt(server, user, password, deadline)
    except (paramiko.SSHException, OSError, EOFError) as exc:
        raise ShellError(f"the SSH server did not say whether it takes a password: {in_words(exc)}") from exc


def _attempt(server: socket.socket, user: str, password: str, deadline: Deadline) -> PasswordAttempt:
    with contextlib.closing(SshConnection(server, deadline)) as transport, closed_at(deadline, transport):
        transport.start_client(timeout=max(1.0, deadline.remaining))
        try:
            transport.auth_none(user)
        except paramiko.BadAuthenticationType as exc:
            allowed = tuple(exc.allowed_types)
        else:
            return PasswordAttempt(allowed=("none",), answer="accepted without a password")
        # each method by itself, so that what is refused is the password; none after one that was accepted
        answer = _answer(transport, user, password, "password")
        if answer == _REFUSED:
            answer = _answer(transport, user, password, "keyboard-interactive")
    return PasswordAttempt(allowed=allowed, answer=answer)


def _answer(transport: paramiko.Transport, user: str, password: str, method: str) -> str:
    try:
        if method == "password":
            left = transport.auth_password(user, password, fallback=False)
        else:
            left = transport.auth_interactive(user, lambda _title, _text, fields: [password] * len(fields))
    except paramiko.BadAuthenticationType:
        return _REFUSED
    except paramiko.AuthenticationException as exc:
        if str(exc) != _SAID_NO:
            raise
        return _REFUSED
    return "accepted" if not left else f"accepted, and then asked for {', '.join(left)}"
