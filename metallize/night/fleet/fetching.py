"""A worker's side of the depot: images are fetched from it, evidence is put there, and it says who waits for a boot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import BinaryIO

from metallize.errors import MAKE_ROOM, HostError
from metallize.night.fleet.depot import Address
from metallize.night.fleet.keys import Keys, require_keys
from metallize.patience import DEPOT_ANSWER as ANSWER_SECONDS
from metallize.patience import DEPOT_SILENCE as SILENCE_SECONDS

_CHUNK = 1 << 20


def pour(read: Callable[[int], bytes], sink: BinaryIO, lost: Callable[[], str], what: str) -> None:
    """Write all that comes, until `lost` says why nobody wants it any more. Raises HostError; OSError of the sink."""
    while True:
        try:
            data = read(_CHUNK)
        except (OSError, HTTPException) as exc:
            raise HostError(f"{what} did not come whole: {exc}") from exc
        if not data:
            return
        sink.write(data)
        why = lost()
        if why:
            raise HostError(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromDepot:
    """The depot of one night, as a worker sees it."""

    address: Address
    keys: Keys | None

    def image(self, sha256: str, sink: BinaryIO, lost: Callable[[], str] = lambda: "") -> None:
        """Write an image's bytes, whatever they are: the cache looks at them. Raises HostError; OSError of the sink.

        `lost` says why nobody wants them any more; empty while somebody does.
        """
        with closing(self._connection()) as connection:
            answer = self._ask(connection, "GET", f"/images/{sha256}")
            if answer.status != HTTPStatus.OK:
                raise HostError(f"the night's host does not give the image {sha256[:12]} ({answer.status})")
            pour(answer.read, sink, lost, f"the image {sha256[:12]}")

    def evidence(self, sha256: str, path: Path) -> None:
        """Put it there. Raises HostError where it is not taken."""
        with closing(self._connection()) as connection, path.open("rb") as file:
            size = str(path.stat().st_size)
            answer = self._ask(connection, "PUT", f"/evidence/{sha256}", file, {"Content-Length": size})
            if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
                raise HostError("the disk of the night's host is full", hint=MAKE_ROOM)
            if answer.status != HTTPStatus.CREATED:
                raise HostError(f"the night's host does not take the evidence ({answer.status})")

    def awaits(self, key: str) -> bool | None:
        """Whether somebody waits for that boot still; None where nobody answers."""
        try:
            with closing(self._connection(ANSWER_SECONDS)) as connection:
                return self._ask(connection, "GET", f"/awaits/{key}").status == HTTPStatus.NO_CONTENT
        except HostError:
            return None

    def _connection(self, patience: float = SILENCE_SECONDS) -> HTTPConnection:
        place = self.address
        require_keys(place.host, self.keys if place.tls else None)
        if not place.tls:
            return HTTPConnection(place.host, place.port, timeout=patience)
        if self.keys is None:
            raise HostError("the night's host hands images out by TLS, and this worker has no keys")
        return HTTPSConnection(place.host, place.port, timeout=patience, context=self.keys.of_client())

    def _ask(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: BinaryIO | None = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self.address.token}", **(headers or {})}
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        except (OSError, HTTPException) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise HostError(f"the night's host at {self.address.host} does not answer: {why}") from exc
