"""One file on its way to one client: sent block by block, each until it is confirmed (RFC 1350)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from metallize.serve.files import Content, Offer
from metallize.serve.log import Fetch, Protocol
from metallize.serve.tftp_packets import (
    ErrorCode,
    Request,
    acknowledged,
    complaint,
    data,
    error,
    negotiate,
    oack,
)

ATTEMPTS = 6
"""How often a packet is sent that nobody confirms."""
LARGEST_PACKET = 65536
LOOK_SECONDS = 0.2
"""Between two looks at whether it is to end."""
PROMPT_SECONDS = 1.0
"""A client that goes on confirms a block within so long; one that does not has lost it, or has begun anew."""
_NO_ANSWER = "no answer any more"
_ELSEWHERE = "the client asked for something else"

Peer = tuple[str, int]


class Transfer:
    """Made when a request comes, and run in a thread of its own."""

    def __init__(self, request: Request, peer: Peer, own: str, stopped: threading.Event) -> None:
        self.request = request
        self.peer = peer
        self.own = own
        """Our address that the client asked, which the answers come from."""
        self.given_up = False
        """Whether the client said that it wants no more of it."""
        self._stopped = stopped
        self._superseded = threading.Event()
        self._confirmed_at: float | None = None
        self._all_is_sent = False

    def supersede(self) -> None:
        """The client has asked for something else: go on only as long as it confirms at once what comes."""
        self._superseded.set()

    def is_copy(self, request: Request) -> bool:
        """Whether a request of the same client is ours once more: sent again before our answer came, or underway long.

        One who asks for something else, who has all of it, or who has said nothing for a while begins anew.
        """
        if request != self.request or self._all_is_sent or self._superseded.is_set():
            return False
        at = self._confirmed_at
        return at is None or time.monotonic() - at < PROMPT_SECONDS

    def run(self, files: Offer, http_port: int) -> Fetch:
        """To its end, whatever that is; nothing is raised that a client could bring about."""
        begun = time.monotonic()
        name = self.request.file.lstrip("/")
        sent, problem = 0, ""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                line.bind((self.own, 0))
                line.connect(self.peer)
                url = f"http://{line.getsockname()[0]}:{http_port}"
                with files.content(name, url) as content:
                    refusal = _refusal(self.request, content)
                    if refusal is not None:
                        self._all_is_sent = True
                        line.send(error(*refusal))
                        problem = refusal[1]
                    elif content is not None:
                        sent, problem = self._send(line, content)
        except OSError as exc:  # no way to the client any more, say
            problem = exc.strerror or str(exc)
        return Fetch(
            address=self.peer[0],
            protocol=Protocol.TFTP,
            file=name,
            bytes_sent=sent,
            seconds=time.monotonic() - begun,
            problem=problem,
        )

    def _send(self, line: socket.socket, content: Content) -> tuple[int, str]:
        """How many bytes have arrived, and why not all of them."""
        terms = negotiate(self.request.options, content.size_bytes)
        if terms.confirmed:
            problem = self._until_confirmed(line, oack(terms.confirmed), 0, terms.timeout_seconds)
            if problem and self.given_up and "tsize" in terms.confirmed:
                return 0, "only its size was asked for"
            if problem:
                return 0, problem
        sent, number = 0, 1
        while True:
            block = content.read(sent, terms.block_bytes)
            last = len(block) < terms.block_bytes
            self._all_is_sent |= last
            problem = self._until_confirmed(line, data(number, block), number & 0xFFFF, terms.timeout_seconds)
            if problem:
                return sent, problem
            sent += len(block)
            number += 1
            if last:
                return sent, "" if sent == content.size_bytes else "the file has become shorter while it was sent"

    def _until_confirmed(self, line: socket.socket, packet: bytes, number: int, seconds: float) -> str:
        """Send until the block is confirmed, and not because of an old confirmation; why it was not, else nothing."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(ConnectionRefusedError):
                line.send(packet)
            sent_at = time.monotonic()
            while (left := sent_at + seconds - time.monotonic()) > 0:
                if self._stopped.is_set():
                    line.send(error(ErrorCode.UNDEFINED, "the server is being stopped"))
                    return "the server was stopped"
                if self._superseded.is_set() and time.monotonic() - sent_at >= PROMPT_SECONDS:
                    return _ELSEWHERE
                line.settimeout(min(left, LOOK_SECONDS))
                try:
                    answer = line.recv(LARGEST_PACKET)
                except TimeoutError:
                    continue
                except ConnectionRefusedError:
                    return "nobody listens there any more"
                if acknowledged(answer) == number:
                    self._confirmed_at = time.monotonic()
                    return ""
                if (message := complaint(answer)) is not None:
                    self.given_up = True
                    return f"the client gave up: {message}"
        return _NO_ANSWER


def _refusal(request: Request, content: Content | None) -> tuple[ErrorCode, str] | None:
    if request.write:
        return ErrorCode.ACCESS, "nothing can be written here"
    if request.mode != "octet":
        return ErrorCode.ILLEGAL, f"mode {request.mode} is not served, octet is"
    return (ErrorCode.NOT_FOUND, "no such file") if content is None else None
