"""Files over TFTP, for reading only: a thread and a port of its own for each transfer, as RFC 1350 wants it.

A server of our own, and a small one: those on PyPI do not tell who fetched what, or are not looked after.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from metallize.serve.files import Content, Files
from metallize.serve.log import Fetch, FetchLog, Protocol
from metallize.serve.tftp_packets import (
    BadPacketError,
    ErrorCode,
    Request,
    acknowledged,
    complaint,
    data,
    error,
    negotiate,
    oack,
    parse_request,
)

MAX_TRANSFERS = 256
"""At once; who asks beyond is not answered, and asks again."""
ATTEMPTS = 6
"""How often a packet is sent that nobody confirms."""
_IP_PKTINFO = 8
"""Linux, ip(7): to which of our addresses a packet came."""
_PACKET_INFO_BYTES = 12
_STOP_SECONDS = 0.2
_LARGEST_PACKET = 65536

Peer = tuple[str, int]


class TftpServer:
    """Listens from the moment it is made, and answers while `serve_forever` runs."""

    def __init__(self, address: str, port: int, files: Files, log: FetchLog, *, http_port: int) -> None:
        self._files = files
        self._log = log
        self._http_port = http_port
        self._stopped = threading.Event()
        self._busy: dict[Peer, threading.Thread] = {}
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.bind((address, port))
            self._socket.settimeout(_STOP_SECONDS)
            self.port = int(self._socket.getsockname()[1])
        except OSError:
            self._socket.close()
            raise

    def serve_forever(self) -> None:
        """Until `stop` is called; then the port is free again."""
        own = self._socket.getsockname()[0]
        room = socket.CMSG_SPACE(_PACKET_INFO_BYTES)
        with self._socket:
            while not self._stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    packet, extra, _flags, peer = self._socket.recvmsg(_LARGEST_PACKET, room)
                    self._hear(packet, peer, _own_address(extra) or own)

    def stop(self) -> None:
        """End every transfer."""
        self._stopped.set()
        with self._lock:
            busy = tuple(self._busy.values())
        for thread in busy:
            thread.join()

    def close(self) -> None:
        """Give the port back; for a server that has never served."""
        self._socket.close()

    def _hear(self, packet: bytes, peer: Peer, own: str) -> None:
        try:
            request = parse_request(packet)
        except BadPacketError:
            return  # not a word to those who may not be clients at all
        with self._lock:
            if peer in self._busy or len(self._busy) >= MAX_TRANSFERS:
                return  # it asks once more, because our answer was lost: that is sent again too
            thread = threading.Thread(target=self._transfer, args=(request, peer, own), name="tftp", daemon=True)
            self._busy[peer] = thread
        thread.start()

    def _transfer(self, request: Request, peer: Peer, own: str) -> None:
        begun = time.monotonic()
        name = request.file.lstrip("/")
        sent, problem = 0, ""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                line.bind((own, 0))
                line.connect(peer)
                url = f"http://{line.getsockname()[0]}:{self._http_port}"
                with self._files.content(name, url) as content:
                    refusal = _refusal(request, content)
                    if refusal is not None:
                        line.send(error(*refusal))
                        problem = refusal[1]
                    elif content is not None:
                        sent, problem = self._send(line, request, content)
        except OSError as exc:  # no way to the client any more, say
            problem = exc.strerror or str(exc)
        finally:
            with self._lock:
                del self._busy[peer]
        self._log.add(
            Fetch(
                address=peer[0],
                protocol=Protocol.TFTP,
                file=name,
                bytes_sent=sent,
                seconds=time.monotonic() - begun,
                problem=problem,
            )
        )

    def _send(self, line: socket.socket, request: Request, content: Content) -> tuple[int, str]:
        """How many bytes have arrived, and why not all of them."""
        terms = negotiate(request.options, content.size_bytes)
        if terms.confirmed:
            problem = self._until_confirmed(line, oack(terms.confirmed), 0, terms.timeout_seconds)
            if problem and problem != _NO_ANSWER and "tsize" in terms.confirmed:
                return 0, "only its size was asked for"
            if problem:
                return 0, problem
        sent, number = 0, 1
        while True:
            block = content.read(sent, terms.block_bytes)
            problem = self._until_confirmed(line, data(number, block), number & 0xFFFF, terms.timeout_seconds)
            if problem:
                return sent, problem
            sent += len(block)
            number += 1
            if len(block) < terms.block_bytes:
                return sent, "" if sent == content.size_bytes else "the file has become shorter while it was sent"

    def _until_confirmed(self, line: socket.socket, packet: bytes, number: int, seconds: float) -> str:
        """Send until the block is confirmed, and not because of an old confirmation; why it was not, else nothing."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(ConnectionRefusedError):
                line.send(packet)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self._stopped.is_set():
                    line.send(error(ErrorCode.UNDEFINED, "the server is being stopped"))
                    return "the server was stopped"
                line.settimeout(min(left, _STOP_SECONDS))
                try:
                    answer = line.recv(_LARGEST_PACKET)
                except TimeoutError:
                    continue
                except ConnectionRefusedError:
                    return "nobody listens there any more"
                if acknowledged(answer) == number:
                    return ""
                if (message := complaint(answer)) is not None:
                    return f"the client gave up: {message}"
        return _NO_ANSWER


_NO_ANSWER = "no answer any more"


def _refusal(request: Request, content: Content | None) -> tuple[ErrorCode, str] | None:
    if request.write:
        return ErrorCode.ACCESS, "nothing can be written here"
    if request.mode != "octet":
        return ErrorCode.ILLEGAL, f"mode {request.mode} is not served, octet is"
    return (ErrorCode.NOT_FOUND, "no such file") if content is None else None


def _own_address(extra: list[tuple[int, int, bytes]]) -> str | None:
    """The address that a packet was sent to, for the answer has to come from there; None where it is not known."""
    for level, kind, content in extra:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _interface, local, _destination = struct.unpack_from("=I4s4s", content)
            return socket.inet_ntoa(local)
    return None
