"""Requests to a registry: who asks, what is asked again, where answers lead, and what an error means."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests

from metallize import __version__
from metallize.errors import HostError
from metallize.patience import REGISTRY_AGAIN, REGISTRY_ANSWER, REGISTRY_CONNECT
from metallize.release.registry.address import Address
from metallize.release.registry.errors import is_final, refused, unreachable
from metallize.release.registry.login import Proof

_ATTEMPTS = 3
_REDIRECTS = 5
_LEADING = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({429, 502, 503, 504})
"""Answers that another attempt may not get."""
_PASSING_WHILE_WRITTEN = _PASSING | {500}
"""Debian's registry (2.8, on a disk) answers so whoever asks for a tag in the moment in which it is written.

It reads all tags to delete a manifest.
"""


class Access:
    """One client of one registry. It is used by one thread at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._proof = Proof(address)
        self._session = requests.Session()
        self._session.auth = self._proof
        self._session.headers.update({"User-Agent": f"metallize/{__version__}", "Accept-Encoding": "identity"})

    def ask(
        self,
        method: str,
        path: str,
        *,
        accepted: Collection[int],
        what: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        once: bool = False,
    ) -> requests.Response:
        """The answer, whose body is still to be read. `path` is of the repository, or a whole address.

        Raises RefusedError for a status that is not accepted, UnreachableError where the line breaks: after some
        attempts, but where it is to be asked `once`.
        """
        url = path if "://" in path else f"{self.address.origin}/v2/{self.address.repository}/{path}"
        place = f"{self.address.place()}{f': {what}' if what else ''}"
        for left in reversed(range(1 if once else _ATTEMPTS)):
            try:
                answer = self._asked(method, url, place, headers, body)
            except requests.RequestException as exc:
                if not left or is_final(exc):
                    raise unreachable(place, exc) from exc
            else:
                if answer.status_code in accepted:
                    return answer
                passing = _PASSING_WHILE_WRITTEN if method in {"GET", "HEAD", "DELETE"} else _PASSING
                if not left or answer.status_code not in passing:
                    raise refused(place, self.address.host, answer)
                answer.close()
            threading.Event().wait(REGISTRY_AGAIN)
        raise AssertionError("the last attempt returns or raises")

    def location(self, answer: requests.Response) -> str:
        """Where an answer says that it goes on."""
        return self._led(answer, answer.url)

    def _asked(
        self, method: str, url: str, place: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> requests.Response:
        renewed, followed = False, 0
        while True:
            answer = self._session.request(
                method, url, headers=dict(headers or {}), data=body, stream=True, allow_redirects=False,
                timeout=(REGISTRY_CONNECT, REGISTRY_ANSWER),
            )  # fmt: skip
            if answer.status_code == HTTPStatus.UNAUTHORIZED and not renewed:
                renewed = True
                if self._proof.renew(answer.headers.get("WWW-Authenticate", "")):
                    answer.close()
                    continue
            if answer.status_code in _LEADING and method in {"GET", "HEAD"}:
                followed += 1
                if followed > _REDIRECTS:
                    raise HostError(f"{place}: the registry leads from one address to the next", hint="see its log")
                url = self._led(answer, url)
                answer.close()
                continue
            return answer

    def _led(self, answer: requests.Response, url: str) -> str:
        """An address that the registry gives: never from TLS to none. `Proof` shows nothing to other hosts."""
        found = urljoin(url, answer.headers.get("Location", ""))
        if urlsplit(found).scheme not in {self.address.scheme, "https"}:
            raise HostError(
                f"{self.address.place()}: the registry leads to {found.partition('?')[0]}, which is not https",
                hint="tell whoever runs the registry",
            )
        return found
