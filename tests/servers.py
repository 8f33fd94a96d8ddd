"""Servers on this host that probes are run against: real sockets, so that a probe is tried and not only written."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from metallize.checks.dns_message import TYPES


class _Handler(BaseHTTPRequestHandler):
    """/ok, /echo (what was sent), /to-ok and /loop (redirects), /private (basic), /slow, anything else: 404."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length).decode()
        path = self.path.partition("?")[0].removeprefix(f"http://{self.headers['Host']}")
        match path:
            case "/ok":
                self._answer(200, "first\nsecond\n")
            case "/echo":
                lines = [f"{self.command} {self.path}", *(f"{name}: {value}" for name, value in self.headers.items())]
                self._answer(200, "\n".join([*lines, "", sent]))
            case "/to-ok":
                self._answer(302, "", Location="/ok")
            case "/loop":
                self._answer(302, "", Location="/loop")
            case "/private":
                good = self.headers.get("Authorization") == "Basic bWU6c2VjcmV0"
                self._answer(200 if good else 401, "in\n" if good else "out\n")
            case "/slow":
                self.server.released.wait(8)  # type: ignore[attr-defined]
            case "/long":
                self._answer(200, "well\n" * 300_000)
            case "/endless":
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked has gone
                    while not self.server.released.wait(0.05):  # type: ignore[attr-defined]
                        self.wfile.write(b"well\n")
            case _:
                self._answer(404, "none such\n")

    do_PUT = do_POST = do_HEAD = do_GET  # noqa: N815 - the names that http.server looks for

    def _answer(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "X-lower": "Yes", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def http_server(certificate: Path | None = None) -> Iterator[str]:
    """A server's URL; with a certificate (and its key in the same file) over TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.released = threading.Event()  # type: ignore[attr-defined]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://localhost:{server.server_address[1]}"
    finally:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, and its key, in one PEM file."""
    made = folder / "localhost.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", made, "-out", folder / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    with made.open("a") as out:
        out.write((folder / "crt").read_text())
    return made


@contextmanager
def dns_server(records: Mapping[tuple[str, str], tuple[bytes, ...]], *, deaf: int = 0) -> Iterator[str]:
    """host:port of a name server; records are (name, type) -> data. It ignores the first `deaf` questions."""
    numbers = {number: name for name, number in TYPES.items()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(0.1)
        stopped = threading.Event()

        def serve() -> None:
            heard = 0
            while not stopped.is_set():
                try:
                    message, peer = bound.recvfrom(4096)
                except TimeoutError:
                    continue
                heard += 1
                if heard <= deaf:
                    continue
                name, end = _asked(message)
                kind = int.from_bytes(message[end : end + 2])
                found = records.get((name, numbers[kind]), ())
                known = any(each == name for each, _ in records)
                head = (
                    message[:2]
                    + bytes([0x81, 0x80 | (0 if known else 3)])
                    + b"\0\1"
                    + len(found).to_bytes(2)
                    + bytes(4)
                )
                body = b"".join(
                    b"\xc0\x0c" + message[end : end + 4] + bytes(4) + len(data).to_bytes(2) + data for data in found
                )
                bound.sendto(head + message[12 : end + 4] + body, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{bound.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join()


def _asked(message: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 1
