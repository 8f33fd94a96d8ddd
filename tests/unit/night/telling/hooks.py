"""A webhook on loopback, for whoever tells of a night."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """A webhook on this host."""

    address: str
    got: list[dict[str, Any]]
    status: list[int]
    """What it answers with."""


@contextmanager
def listening() -> Iterator[Hook]:
    """One that takes whatever comes."""
    found: list[dict[str, Any]] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if status[0] == 200:
                found.append({**data, "authorization": self.headers.get("Authorization")})
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Hook(address=f"json://user:geheim@127.0.0.1:{server.server_port}/hook", got=found, status=status)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
