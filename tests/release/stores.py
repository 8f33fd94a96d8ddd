"""An S3 store on loopback (moto's server, a process), and a proxy before it that breaks what it is told to."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from metallize.deadline import Deadline

_UP_SECONDS = 300
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
"""What boto3 finds instead of what the user of this host has."""

SMALL_PARTS = {"S3_UPLOAD_PART_MIN_SIZE": "1000", "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "1000000"}
"""The least that it takes as a part but the last, and what it keeps of one in memory (moto/settings.py)."""


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """The address of a store that is empty, and gone at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "moto.log"
    # Parts of uploads are kept in files of its own; the credentials are nobody's.
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **KEYS, **SMALL_PARTS}
        ) as process,
    ):
        try:
            deadline = Deadline.after(_UP_SECONDS, "the store answers")
            while not _listens(port):
                assert process.poll() is None, log.read_text()
                assert not deadline.expired, log.read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes

    def without(self, *names: str) -> Request:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return Request(method=self.method, path=self.path, headers=kept, body=self.body)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What it is given."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def refusal(status: int, code: str, text: str = "") -> Answer:
    """As a store tells of an error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text or code}</Message></Error>"
    return Answer(status=status, headers={"Content-Type": "application/xml"}, body=body.encode())


class Cut(Exception):  # noqa: N818 - no error of ours
    """The line breaks: after as many bytes of the answer, if there are any."""

    def __init__(self, answer: Answer | None = None, after_bytes: int = 0) -> None:
        super().__init__()
        self.answer, self.after_bytes = answer, after_bytes


Forward = Callable[[Request], Answer]
Rule = Callable[[Request, Forward], Answer]
"""Gives an answer of its own, or that of the store. Raises Cut."""


class Between:
    """What stands between client and store."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.rule: Rule | None = None
        self.seen: list[Request] = []
        self.url = ""

    def forward(self, request: Request) -> Answer:
        host = self.target.removeprefix("http://")
        line = http.client.HTTPConnection(host, timeout=60)
        try:
            sent = dict(request.without("expect").headers)
            line.request(request.method, request.path, body=request.body or None, headers=sent)
            answer = line.getresponse()
            skipped = {"transfer-encoding", "connection", "content-length"} - (
                {"content-length"} if request.method == "HEAD" else set()
            )
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
            return Answer(status=answer.status, headers=headers, body=answer.read())
        finally:
            line.close()

    def answer(self, request: Request) -> Answer:
        self.seen.append(request)
        return self.rule(request, self.forward) if self.rule is not None else self.forward(request)

    def cut_when(self, is_time: Callable[[Request], bool]) -> None:
        """From the first such request on nothing comes through."""
        broken: list[Request] = []

        def rule(request: Request, forward: Forward) -> Answer:
            if broken or is_time(request):
                broken.append(request)
                raise Cut
            return forward(request)

        self.rule = rule

    def lose_once(self, may: Callable[[Request], bool]) -> Collection[object]:
        """Lose the answer to each such request the first time that it is made; returns those, as they come."""
        lost: set[tuple[str, str, bytes]] = set()

        def rule(request: Request, forward: Forward) -> Answer:
            answer = forward(request)
            key = (request.method, request.path, request.body)
            if key not in lost and may(request):
                lost.add(key)
                raise Cut
            return answer

        self.rule = rule
        return lost


class _Handler(http.server.BaseHTTPRequestHandler):
    """Gives everything to the Between that its server has."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer's head and body are two writes, and would wait for each other

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: ", ".join(self.headers.get_all(name, ())) for name in self.headers}
        request = Request(method=self.command, path=self.path, headers=headers, body=body)
        try:
            answer, end = self.server.between.answer(request), None  # type: ignore[attr-defined]
        except Cut as cut:
            if cut.answer is None:
                self._break()
                return
            answer, end = cut.answer, cut.after_bytes
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in answer.headers):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:end])
        if end is not None:
            self._break()

    do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked has gone
            super().handle()

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def between(target: str) -> Iterator[Between]:
    """A proxy before a store."""
    made = Between(target)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.between = made  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
