"""A connection to an SSH server that is trusted to do nothing: bounded in time and in bytes until somebody is in."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import paramiko

from metallize.deadline import Deadline
from metallize.errors import of_thread
from metallize.guest import GuestFailed, Watch

LOGIN_BYTES = 1 << 20
"""A handshake and a login take some thousands of bytes."""
_CHUNK_BYTES = 1 << 16
MOST_PATIENT = 6.0
"""A slow host stretches a wait by its slowness, and never by more."""
_LOOK_SECONDS = 0.1
_LOG = "metallize.paramiko"


class Bounded:
    """A connection's socket, from which no more than `left` bytes come; None where there is no end to them."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.left: int | None = LOGIN_BYTES

    def recv(self, size: int) -> bytes:
        # who names a packet's length may name one of 4 GiB
        data = self._server.recv(min(size, _CHUNK_BYTES))
        if self.left is not None:
            self.left -= len(data)
            if self.left < 0:
                return b""
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class SshConnection(paramiko.Transport):
    """A connection to a server, of which no thread is left once it is closed.

    The deadline is the time for its handshake and its login. What goes wrong on it is raised, and needs no second voice
    on standard error. Until `login_done` it takes no more than LOGIN_BYTES.
    """

    def __init__(self, server: socket.socket, deadline: Deadline) -> None:
        self._bounded = Bounded(server)
        super().__init__(cast("socket.socket", self._bounded))
        self.set_log_channel(quiet_log())
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = max(5.0, deadline.remaining)

    @property
    def had_no_end(self) -> bool:
        """Whether the server sent more than a login takes."""
        return self._bounded.left is not None and self._bounded.left < 0

    def login_done(self) -> None:
        self._bounded.left = None

    def close(self) -> None:
        super().close()
        # else the timer of a handshake that was cut off is a thread of ours until the deadline
        self.packetizer.complete_handshake()


class Span:
    """So many seconds from now on in which the guest only waits, or as many on a slow host as it takes to work them."""

    def __init__(self, watch: Watch, deadline: Deadline, seconds: float, purpose: str) -> None:
        self.seconds = seconds
        self.deadline = deadline.sooner(seconds * min(max(1.0, watch.slowness), MOST_PATIENT), purpose)
        self._watch = watch
        self._idle = watch.idle_meter()

    @property
    def over(self) -> bool:
        """Whether nothing more is waited for; also when the guest has failed."""
        try:
            self._watch.check()
        except GuestFailed:
            return True
        return self.deadline.expired or self._idle() >= self.seconds


@contextlib.contextmanager
def closed_when_over(span: Span, connection: SshConnection) -> Iterator[threading.Event]:
    """Close a connection, on which something is waited for, when the span is over; the event says that it was so."""
    done, cut = threading.Event(), threading.Event()
    broken: list[BaseException] = []

    def look() -> None:
        try:
            while not done.wait(_LOOK_SECONDS):
                if span.over:
                    cut.set()
                    connection.close()
                    return
        except BaseException as exc:  # noqa: BLE001 - raised in whoever waits, whose wait would know no end
            broken.append(exc)
            connection.close()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield cut
    finally:
        done.set()
        thread.join()
        if broken:
            raise of_thread("the thread that ends a wait for SSH", broken[0])


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
