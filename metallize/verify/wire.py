"""A connection to the guest whose other end may do what it likes: drip, never end, or die in the middle.

Every wait looks at the guest, ends with the deadline, and ends sooner where nothing comes at all.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from metallize.deadline import Deadline
from metallize.patience import WIRE_LOOK as _LOOK_SECONDS
from metallize.patience import WIRE_SILENT as SILENT_SECONDS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

BODY_BYTES = 1 << 20
"""Of an answer's body so much is kept and looked at; what follows is only waited for to its end."""
_READ_BYTES = 65_536


class WireError(Exception):
    """What the other end did, for a person."""


class Wire(io.RawIOBase):
    """A connection to a port of 127.0.0.1. Raises WireError, OSError, and what `check` raises."""

    def __init__(self, port: int, deadline: Deadline, check: Callable[[], None]) -> None:
        super().__init__()
        self._deadline = deadline
        self._check = check
        self._begun = time.monotonic()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=max(1.0, deadline.sooner(5, "").remaining))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()
        super().close()

    def readable(self) -> bool:
        return True

    def begin_tls(self) -> None:
        """The guest's certificate is its own: what is asked is whether it serves."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        secure = context.wrap_socket(self._socket, do_handshake_on_connect=False)
        self._socket = secure
        self._done(secure.do_handshake)

    def send(self, data: bytes) -> None:
        while data:
            part = data[:_READ_BYTES]
            data = data[self._done(lambda part=part: self._socket.send(part)) :]  # type: ignore[misc]  # mypy has no type for the default

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._done(lambda: self._socket.recv_into(buffer))

    def makefile(self, *_: object) -> io.BufferedReader:
        """What http.client reads from."""
        return io.BufferedReader(self, _READ_BYTES)

    def said(self, seconds: float) -> bytes | None:
        """What comes within some seconds: nothing where the other end hung up, None where nothing came."""
        if not self._ready(Deadline.after(seconds, "a word"), writing=False):
            return None
        return self._socket.recv(4096)

    def _done(self, action: Callable[[], T]) -> T:
        silent = Deadline.after(SILENT_SECONDS, "a byte")
        while True:
            # one that always has something ready is looked at as well
            self._look()
            try:
                return action()
            except (ssl.SSLWantReadError, BlockingIOError):
                came = self._ready(silent, writing=False)
            except ssl.SSLWantWriteError:
                came = self._ready(silent, writing=True)
            if not came:
                raise TimeoutError(f"nothing came for {SILENT_SECONDS:.0f} s")

    def _ready(self, limit: Deadline, *, writing: bool) -> bool:
        while not limit.expired:
            self._look()
            seconds = min(_LOOK_SECONDS, limit.remaining, self._deadline.remaining)
            ready = select.select([] if writing else [self._socket], [self._socket] if writing else [], [], seconds)
            if any(ready):
                return True
        return False

    def _look(self) -> None:
        self._check()
        if self._deadline.expired:
            raise WireError(f"the answer did not end within {time.monotonic() - self._begun:.0f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer that has come to its end."""

    status: int
    body: bytes
    """Its first BODY_BYTES."""
    whole: bool
    """Whether the body is no longer."""


def ask(port: int, host: str, path: str, deadline: Deadline, check: Callable[[], None], *, tls: bool) -> HttpAnswer:
    """GET a path. Raises WireError, OSError or HTTPException where no whole answer comes, and what `check` raises."""
    with contextlib.closing(Wire(port, deadline, check)) as wire:
        if tls:
            wire.begin_tls()
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity", "Connection: close", "", "")
        wire.send("\r\n".join(lines).encode())
        answer = http.client.HTTPResponse(wire, method="GET")  # type: ignore[arg-type]  # it needs makefile() alone
        answer.begin()
        body, length = bytearray(), 0
        for part in _parts(answer):
            length += len(part)
            body += part[: BODY_BYTES - len(body)]
        if answer.length:
            raise WireError(f"the answer broke off: {answer.length} bytes of its body never came")
        return HttpAnswer(status=answer.status, body=bytes(body), whole=length == len(body))


def _parts(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while part := answer.read1(_READ_BYTES):
        yield part
