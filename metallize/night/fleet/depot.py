"""What a night's host hands out to its workers, and takes from them: images and evidence, by content, over HTTP.

GET  /images/SHA256     the bytes
PUT  /evidence/SHA256   what a boot left, as `metallize.night.fleet.evidence` packs it
GET  /awaits/KEY        204 while somebody waits for that boot, else 410

Each request carries the night's token. Whatever is not served on the loopback is served by TLS to whoever has the
fleet's key.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from metallize.errors import FULL, HostError
from metallize.night.fleet.keys import Keys, require_keys
from metallize.night.fleet.scratch import own_folder
from metallize.patience import DEPOT_SILENCE as SILENCE_SECONDS

MOST_EVIDENCE_BYTES = 4 << 30
"""A run that keeps every packet may be large; what is larger is not taken."""
_CHUNK = 1 << 20
_NAME = re.compile(r"/(images|evidence|awaits)/([0-9a-f]{1,64}(?:-[0-9a-f]{1,16})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a worker finds it."""

    host: str
    port: int
    token: str = field(repr=False)
    tls: bool


@dataclass(slots=True, kw_only=True)
class Depot:
    """While it serves."""

    address: Address
    folder: Path
    """Evidence that has come."""
    images: dict[str, Callable[[], Path]] = field(default_factory=dict)
    """Where each is by then, by its digest."""
    awaited: set[str] = field(default_factory=set)
    """The boots that somebody waits for."""

    def offer(self, sha256: str, image: Callable[[], Path]) -> None:
        """Hand an image out to whoever asks, from where it is by then."""
        self.images[sha256] = image

    def begin(self, key: str) -> None:
        """From now on somebody waits for that boot."""
        self.awaited.add(key)

    def forget(self, key: str) -> None:
        """Nobody does any more."""
        self.awaited.discard(key)

    def evidence(self, sha256: str) -> Path | None:
        """What has come whole."""
        path = self.folder / sha256
        return path if _DIGEST.fullmatch(sha256) and path.is_file() else None


_DIGEST = re.compile(r"[0-9a-f]{64}")


@contextmanager
def serving(host: str, keys: Keys | None, folder: Path) -> Iterator[Depot]:
    """Serve on one of this host's addresses while the body runs; evidence comes to a folder that is gone with it.

    Raises UsageError as `require_keys` does, and HostError where it cannot listen there.
    """
    require_keys(host, keys)
    with own_folder(folder) as place:
        try:
            server = _Server(host, None if keys is None else keys.of_server())
        except OSError as exc:
            raise HostError(f"images cannot be handed out on {host}: {exc.strerror or exc}") from exc
        address = Address(host=host, port=server.server_port, token=secrets.token_urlsafe(32), tls=keys is not None)
        server.depot = Depot(address=address, folder=place)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="depot", daemon=True)
        thread.start()
        try:
            yield server.depot
        finally:
            server.depot.awaited.clear()
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    """A worker that is silent in the middle of a request ends no night."""
    depot: Depot

    def __init__(self, host: str, context: ssl.SSLContext | None) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._context = context
        super().__init__((host, 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own: who is slow to greet keeps nobody."""
        request.settimeout(SILENCE_SECONDS)
        if self._context is not None:
            try:
                request = self._context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
        super().finish_request(request, client_address)
        if self._context is not None:
            with suppress(OSError):
                request.close()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A worker that went away is told of by whoever waits for its boot."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Hand out."""
        kind, name = self._asked()
        depot = self.server.depot
        if kind == "awaits":
            self._say(HTTPStatus.NO_CONTENT if name in depot.awaited else HTTPStatus.GONE)
        elif kind == "images" and name in depot.images:
            try:
                with depot.images[name]().open("rb") as file:
                    self.send_response(HTTPStatus.OK)
                    self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
                    self.end_headers()
                    shutil.copyfileobj(file, self.wfile, _CHUNK)
            except OSError:
                self.close_connection = True
        elif kind:
            self._say(HTTPStatus.NOT_FOUND)

    def do_PUT(self) -> None:
        """Take in; what does not have its name's digest, or is not whole, is not kept."""
        kind, name = self._asked()
        if not kind:
            return
        length = self.headers.get("Content-Length", "")
        if kind != "evidence" or not _DIGEST.fullmatch(name):
            self._say(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal() or not length.isascii() or int(length) > MOST_EVIDENCE_BYTES:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                whole = self._take(self.server.depot.folder / name, int(length), name)
                status = HTTPStatus.CREATED if whole else HTTPStatus.UNPROCESSABLE_ENTITY
            except OSError as exc:
                full = exc.errno in FULL
                status = HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.INTERNAL_SERVER_ERROR
            self._say(status)

    def _take(self, path: Path, length: int, name: str) -> bool:
        """Whether it came whole. Raises OSError where it cannot be kept, when all of it was read."""
        digest = hashlib.sha256()
        number, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        failed: OSError | None = None
        try:
            with os.fdopen(number, "wb", buffering=0) as file:
                while length > 0:
                    data = self.rfile.read(min(length, _CHUNK))
                    if not data:
                        return False
                    length -= len(data)
                    digest.update(data)
                    try:
                        if failed is None and file.write(data) != len(data):
                            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as a write says it
                    except OSError as exc:
                        failed = exc  # and whoever sends hears of it when he has sent all
            if failed is not None:
                raise failed
            if digest.hexdigest() != name:
                return False
            Path(part).replace(path)
            return True
        finally:
            Path(part).unlink(missing_ok=True)

    def _asked(self) -> tuple[str, str]:
        """What for, and its name; both empty where an answer was given already."""
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        wanted = f"Bearer {self.server.depot.address.token}".encode()
        found = _NAME.fullmatch(self.path)
        if not hmac.compare_digest(given, wanted) or found is None:
            self._say(HTTPStatus.NOT_FOUND)
            return "", ""
        return found[1], found[2]

    def _say(self, status: HTTPStatus) -> None:
        self.close_connection = True  # what was not read of a request is no next one
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing: a token is nobody's to read."""
