"""HTTP and HTTPS, from servers that may be slow, broken or hostile: every wait ends, and no image is kept in memory.

Proxies are those of the environment (https_proxy), as for every other program.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from metallize import __version__
from metallize.errors import HostError
from metallize.events import Events, Level, Note
from metallize.patience import FETCH_AGAIN, FETCH_ANSWER, FETCH_SILENCE, FETCH_SLOW
from metallize.release.remote.paced import pieces

_ATTEMPTS = 3
"""So often in turn a connection may break with nothing gained."""
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A client that tells of what it has to do again."""

    events: Events

    def small(self, url: str, most_bytes: int) -> bytes | None:
        """All of a small file; None where the server has none. Raises HostError for anything else."""
        try:
            with _opened(url) as answer:
                content = b"".join(bounded(_pieces(answer), most_bytes, url))
        except urllib.error.HTTPError as exc:
            if exc.code in (http.client.NOT_FOUND, http.client.GONE):
                return None
            raise _refused(url, exc) from exc
        except _BROKEN as exc:
            raise HostError(
                f"{url} cannot be fetched: {_why(exc)}", hint="is the server up, and within reach?"
            ) from exc
        return content

    def body(self, url: str, size: int) -> Iterator[bytes]:
        """A file of a known size, piece by piece; a connection that breaks is made again, from where it broke.

        Raises HostError where the server has another size, or where it breaks too often.
        """
        try:
            yield from resumed(lambda at: _from(url, at, size), url, size, self.events, _BROKEN)
        except urllib.error.HTTPError as exc:
            raise _refused(url, exc) from exc


def resumed(
    opened: Callable[[int], Iterator[bytes]], url: str, size: int, events: Events, broken: tuple[type[Exception], ...]
) -> Iterator[bytes]:
    """A file of a known size, each time that its line breaks on from there. `opened` gives what follows a byte.

    Raises HostError where it breaks too often, with nothing gained.
    """
    done, failures = 0, 0
    while done < size:
        before = done
        try:
            for piece in opened(done):
                done += len(piece)
                yield piece
            why = "the server ended it"
        except urllib.error.HTTPError:  # an OSError too, and an answer
            raise
        except broken as exc:
            why = _why(exc)
        if done == size:
            return
        failures = 1 if done > before else failures + 1
        if failures >= _ATTEMPTS:
            raise HostError(
                f"{url} broke off at byte {done} of {size}, {failures} times in turn: {why}",
                hint="run it again, when the network or the server is better: it begins anew",
            )
        events.emit(
            Note(text=f"the connection broke at byte {done} of {size} ({why}); going on there", level=Level.WARNING)
        )
        threading.Event().wait(FETCH_AGAIN)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib's, which ends after ten; from https it goes to https alone."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.HTTPError(req.full_url, code, f"it leads to {newurl}, which is not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Hurried(http.client.HTTPConnection):
    """A connection whose answer has to begin in time, however its bytes drip."""

    def getresponse(self) -> http.client.HTTPResponse:
        timer = threading.Timer(FETCH_ANSWER, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                return


class _HurriedTLS(_Hurried, http.client.HTTPSConnection):
    """The same over TLS."""


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Hurried, req)


class _TLS(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HurriedTLS, req)


def _opened(url: str, start: int = 0) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"metallize/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - commands take http and https alone
    opener = urllib.request.build_opener(_Redirects, _Plain, _TLS)
    answer: http.client.HTTPResponse = opener.open(request, timeout=FETCH_SILENCE)
    return answer


def _from(url: str, start: int, size: int) -> Iterator[bytes]:
    """What follows the first bytes of a file; a server that knows no ranges sends these again."""
    with _opened(url, start) as answer:
        skip = start
        if answer.status == http.client.PARTIAL_CONTENT:
            told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
            if told is None or int(told[1]) != start:
                raise HostError(f"{url}: the server was asked for what follows byte {start}, and sends something else")
            skip = 0
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != size - start + skip:
            raise HostError(
                f"{url} has {int(length) + start - skip} bytes there, and {size} as released",
                hint=_html(answer) or "the file was changed, or is being copied: nothing of it was taken",
            )
        if hint := _html(answer):
            raise HostError(f"{url} is a web page there, and no image", hint=hint)
        for piece in bounded(_pieces(answer), size - start + skip, url):
            kept = piece[skip:]
            skip -= len(piece) - len(kept)
            if kept:
                yield kept


def _html(answer: http.client.HTTPResponse) -> str:
    page = answer.headers.get_content_type() == "text/html"
    return "does the server want a login, or send every address to its start page?" if page else ""


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    return pieces(answer, _BROKEN, FETCH_SLOW)


def bounded(found: Iterator[bytes], most_bytes: int, url: str) -> Iterator[bytes]:
    """The same, up to a size. Raises HostError for more."""
    seen = 0
    for piece in found:
        seen += len(piece)
        if seen > most_bytes:
            raise HostError(f"{url} sends more than {most_bytes} bytes", hint="it is not what a release has there")
        yield piece


def _refused(url: str, exc: urllib.error.HTTPError) -> HostError:
    exc.close()
    return HostError(f"{url}: the server answers {exc.code}: {exc.reason}", hint="is the address right?")


def _why(exc: Exception) -> str:
    if isinstance(exc, urllib.error.URLError) and isinstance(exc.reason, Exception):
        exc = exc.reason
    return (exc.strerror if isinstance(exc, OSError) else "") or str(exc) or type(exc).__name__
