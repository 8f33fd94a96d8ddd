"""Files over HTTP (RFC 9110): GET and HEAD, one range a request, a thread for each connection."""

from __future__ import annotations

import re
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from metallize.serve.archive import shown
from metallize.serve.files import Content, Offer
from metallize.serve.log import Fetch, FetchLog, Protocol

PIECE_BYTES = 1 << 20
MOST_CONNECTIONS = 4096
"""At a time: each is a thread. A whole hall of machines has fewer."""
IDLE_SECONDS = 60.0
"""A client that takes nothing for so long has gone."""
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class HttpServer(ThreadingHTTPServer):
    """Listens from the moment it is made, and answers while `serve_forever` runs."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: str, port: int, files: Offer, log: FetchLog, *, most: int = MOST_CONNECTIONS) -> None:
        self.files = files
        self.log = log
        self._room = threading.BoundedSemaphore(most)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Without the reverse lookup of our own name that http.server makes, which may take long."""
        TCPServer.server_bind(self)
        self.server_address = self.socket.getsockname()
        self.port = int(self.server_address[1])
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - the base's signature
        """A connection beyond the last that there is room for is closed at once."""
        return self._room.acquire(blocking=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except BaseException:  # it got no thread
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, _request: object, _client: object) -> None:
        """A client that went away is in the log already."""

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End every connection, whatever it is in the middle of."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


def byte_range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """Start and length of the range that is asked for; None: all of it. Raises ValueError where there is no such range.

    What is not one range of bytes may be ignored (RFC 9110, 14.2).
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size_bytes - int(match[2])), size_bytes - 1
    else:
        start, end = int(match[1]), min(int(match[2] or size_bytes - 1), size_bytes - 1)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size_bytes or start > end:
        raise ValueError(header)
    return start, end - start + 1


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "metallize"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_args: object) -> None:
        """The log of the server is another one."""

    def _answer(self, *, body: bool) -> None:
        begun = time.monotonic()
        name = unquote(urlsplit(self.path).path).lstrip("/") or self.server.files.index
        if not name:
            listing = "".join(f"{each}\n" for each in self.server.files.names).encode()
            self._send(Content(size_bytes=len(listing), data=listing), "/", begun, body=body)
            return
        with self.server.files.content(name, self._url()) as content:
            if content is None:
                name = shown(name)
                self.send_error(HTTPStatus.NOT_FOUND, f"no such file: {name.encode('ascii', 'replace').decode()}")
                self._log(name, 0, begun, "no such file")
                return
            self._send(content, name, begun, body=body)

    def _send(self, content: Content, name: str, begun: float, *, body: bool) -> None:
        try:
            part = self._range(content)
        except ValueError:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{content.size_bytes}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            self._log(name, 0, begun, "a range beyond its end was asked for")
            return
        start, length = part or (0, content.size_bytes)
        self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
        usual = "text/plain; charset=utf-8" if content.data else "application/octet-stream"
        self.send_header("Content-Type", content.kind or usual)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content.tag:
            self.send_header("ETag", f'"{content.tag}"')
        if content.refresh_seconds:
            self.send_header("Refresh", str(content.refresh_seconds))
        if part is not None:
            self.send_header("Content-Range", f"bytes {start}-{start + length - 1}/{content.size_bytes}")
        self.end_headers()
        if body:
            self._send_body(content, name, start, length, begun)

    def _send_body(self, content: Content, name: str, start: int, length: int, begun: float) -> None:
        sent, problem = 0, ""
        try:
            while sent < length and not problem:
                count = min(PIECE_BYTES, length - sent)
                if content.file is None:
                    self.connection.sendall(content.read(start + sent, count))
                elif self.connection.sendfile(content.file, content.offset + start + sent, count) < count:
                    problem = "the file has become shorter while it was sent"
                sent += count
        except TimeoutError:
            problem = "the client took nothing for a minute"
        except OSError:
            problem = "the connection was closed"
        self.close_connection = self.close_connection or bool(problem)
        self._log(name, sent, begun, problem)

    def _range(self, content: Content) -> tuple[int, int] | None:
        header = self.headers.get("Range")
        if header is None or self.headers.get("If-Range", f'"{content.tag}"') != f'"{content.tag}"':
            return None
        return byte_range(header, content.size_bytes)

    def _url(self) -> str:
        """How the client reaches us: as it says itself, for there may be a translation of addresses between."""
        host = self.headers.get("Host", "")
        if _HOST.fullmatch(host) is None:
            host, port = self.connection.getsockname()[:2]
            host = f"{host}:{port}"
        return f"http://{host}"

    def _log(self, name: str, sent: int, begun: float, problem: str) -> None:
        self.server.log.add(
            Fetch(
                address=str(self.client_address[0]),
                protocol=Protocol.HTTP,
                file=name,
                bytes_sent=sent,
                seconds=time.monotonic() - begun,
                problem=problem,
            )
        )
