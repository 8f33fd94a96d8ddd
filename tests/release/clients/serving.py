"""A destination over HTTP, as any static web server gives it; and a key of gpg's that lives as long as a test."""

from __future__ import annotations

import functools
import http.server
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE = random.Random(7).randbytes((5 << 20) // 4) + bytes(1 << 20) + b"the end, in a block"  # noqa: S311 - no secret
"""A disk with data, a hole, and an end within a block."""
USER = "Release <release@example.com>"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Its address, on this host alone."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def keyring(home: Path) -> Iterator[None]:
    """A folder for GNUPGHOME, which is set already, with a key in it; its agent ends with it."""
    home.chmod(0o700)
    make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", USER, "ed25519", "sign"]
    subprocess.run(make, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
