"""Files over TFTP, for reading only: a thread and a port of its own for each transfer, as RFC 1350 wants it.

A server of our own, and a small one: those on PyPI do not tell who fetched what, or are not looked after.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from metallize.serve.files import Offer
from metallize.serve.log import FetchLog
from metallize.serve.tftp_packets import BadPacketError, Request, parse_request
from metallize.serve.tftp_transfer import LARGEST_PACKET, Peer, Transfer

MAX_TRANSFERS = 256
"""At once; who asks beyond is not answered, and asks again."""
_IP_PKTINFO = 8
"""Linux, ip(7): to which of our addresses a packet came."""
_PACKET_INFO_BYTES = 12
_STOP_SECONDS = 0.2


class TftpServer:
    """Listens from the moment it is made, and answers while `serve_forever` runs."""

    def __init__(self, address: str, port: int, files: Offer, log: FetchLog, *, http_port: int) -> None:
        self._files = files
        self._log = log
        self._http_port = http_port
        self._stopped = threading.Event()
        self._busy: dict[Transfer, threading.Thread] = {}
        self._latest: dict[Peer, Transfer] = {}
        """Of each client that is busy, the transfer that it asked for last."""
        self._repeated: set[Transfer] = set()
        """Those whose request came again before a word of an answer had arrived."""
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
                    packet, extra, _flags, peer = self._socket.recvmsg(LARGEST_PACKET, room)
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
            before = self._latest.get(peer)
            if before is not None and before.is_copy(request):
                self._repeated.add(before)  # its answer was lost, and is sent again; or it has just given up
                return
            self._begin(request, peer, own)

    def _begin(self, request: Request, peer: Peer, own: str) -> None:
        """A transfer beside all others; `_lock` is held."""
        if len(self._busy) >= MAX_TRANSFERS:
            return
        if (before := self._latest.get(peer)) is not None:
            before.supersede()
        transfer = Transfer(request, peer, own, self._stopped)
        thread = threading.Thread(target=self._run, args=(transfer,), name="tftp", daemon=True)
        self._busy[transfer] = thread
        self._latest[peer] = transfer
        thread.start()

    def _run(self, transfer: Transfer) -> None:
        fetch = None
        try:
            fetch = transfer.run(self._files, self._http_port)
        finally:
            with self._lock:
                del self._busy[transfer]
                newest = self._latest.get(transfer.peer) is transfer
                if newest:
                    del self._latest[transfer.peer]
                if transfer in self._repeated:
                    self._repeated.discard(transfer)
                    # Firmware asks for a size, gives that up, and asks anew: the word that it gave up may be read last.
                    if newest and transfer.given_up and not self._stopped.is_set():
                        self._begin(transfer.request, transfer.peer, transfer.own)
        if fetch is not None:
            self._log.add(fetch)


def _own_address(extra: list[tuple[int, int, bytes]]) -> str | None:
    """The address that a packet was sent to, for the answer has to come from there; None where it is not known."""
    for level, kind, content in extra:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _interface, local, _destination = struct.unpack_from("=I4s4s", content)
            return socket.inet_ntoa(local)
    return None
