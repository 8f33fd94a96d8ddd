"""A file that is uploaded: written to disk first, for its digest, then sent in pieces; a broken upload goes on.

What the registry has already by its digest is not sent (OCI Distribution Specification 1.1, Pushing blobs).
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, cast

from metallize.errors import HostError
from metallize.release.destinations import Fill
from metallize.release.registry.artifacts import Descriptor
from metallize.release.registry.errors import RefusedError, UnreachableError
from metallize.release.registry.repository import Repository
from metallize.release.remote.media import kind_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE_BYTES = 16 << 20
"""So much of a file is in memory, and is sent again where the line breaks."""
_BREAKS = 4
"""So many times the line may break with nothing come over it since."""
_LOST = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
"""Answers to an upload that is not what it was taken for."""


class Spool(io.BufferedIOBase):
    """What `fill` is given: a file that has no name, and its digest."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size_bytes

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        self._digest.update(view)
        with _told():
            self.file.write(view)
        self.size_bytes += len(view)
        return len(view)

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


@contextmanager
def spooled(fill: Fill) -> Iterator[Spool]:
    """All that `fill` writes. Raises HostError where there is no room for it."""
    with ExitStack() as stack:
        with _told():
            file = stack.enter_context(tempfile.TemporaryFile(prefix="metallize-upload-"))
        made = Spool(file)
        fill(cast("BinaryIO", made))
        with _told():
            file.flush()
        yield made


@contextmanager
def _told() -> Iterator[None]:
    """What the system says of that file, as an error that names where it is."""
    try:
        yield
    except OSError as exc:
        raise HostError(
            f"{tempfile.gettempdir()}: {exc.strerror or exc}",
            hint="make room there, where what is uploaded is written first: see df -h, or set TMPDIR",
        ) from exc


class Uploader:
    """Sends files to a repository."""

    def __init__(
        self, repository: Repository, require: Callable[[], None], remember: Callable[[str, str], None]
    ) -> None:
        """`require` raises where nothing may be written now; `remember` is told by name where an upload goes on."""
        self._repository, self._require, self._remember = repository, require, remember

    def content(self, name: str, content: bytes) -> Descriptor:
        """Send a small file."""
        with spooled(lambda file: shutil.copyfileobj(io.BytesIO(content), file)) as spool:
            return self.send(name, spool)

    def send(self, name: str, spool: Spool, left: str = "") -> Descriptor:
        """Have the file in the repository. `left` is where an earlier upload of that name goes on, if there is one."""
        digest, size = spool.digest, spool.size_bytes
        found = Descriptor(media_type=kind_of(name).partition(";")[0], digest=digest, size_bytes=size)
        if self._repository.blob_bytes(digest) is not None:
            return found
        if left:
            try:
                self._sent(name, spool, left, self._had(name, left))
            except RefusedError as exc:
                if exc.status not in _LOST:
                    raise
            else:
                return found
        self._sent(name, spool, "", 0)
        return found

    def _sent(self, name: str, spool: Spool, location: str, at: int) -> None:
        """Send what is lacking from that byte on, and make a blob of it."""
        failures = 0
        if not location:
            location = self._begun(name)
        while True:
            self._require()
            try:
                if spool.size_bytes - at <= PIECE_BYTES:
                    self._ended(name, spool, location, at)
                    return
                location, at = self._piece(name, spool, location, at)
                failures = 0
            except UnreachableError:
                failures += 1
                if self._repository.blob_bytes(spool.digest) is not None:  # the answer was lost, at the end
                    return
                if failures == _BREAKS:
                    raise
                location, at = self._taken_up(name, location)

    def _begun(self, name: str) -> str:
        self._require()
        access = self._repository.access
        with access.ask("POST", "blobs/uploads/", what=name, accepted={202}) as answer:
            return access.location(answer)

    def _taken_up(self, name: str, location: str) -> tuple[str, int]:
        """Where an upload goes on whose line broke; a new one, where the registry has lost count of it."""
        try:
            return location, self._had(name, location)
        except RefusedError as exc:
            if exc.status not in _LOST:
                raise
        return self._begun(name), 0

    def _piece(self, name: str, spool: Spool, location: str, at: int) -> tuple[str, int]:
        spool.file.seek(at)
        piece = spool.file.read(PIECE_BYTES)
        access = self._repository.access
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{at}-{at + len(piece) - 1}"}
        with access.ask("PATCH", location, what=name, headers=headers, body=piece, accepted={202}, once=True) as answer:
            location, had = access.location(answer), _had(answer.headers.get("Range", ""))
        self._remember(name, location)
        return location, had

    def _ended(self, name: str, spool: Spool, location: str, at: int) -> None:
        """Send the rest, with the digest that all of it has to have."""
        spool.file.seek(at)
        rest = spool.file.read(PIECE_BYTES)
        url = f"{location}{'&' if '?' in location else '?'}digest={spool.digest}"
        headers = {"Content-Type": "application/octet-stream"}
        if at:
            headers["Content-Range"] = f"{at}-{at + len(rest) - 1}"
        access = self._repository.access
        access.ask("PUT", url, what=name, headers=headers, body=rest, accepted={201, 202, 204}, once=True).close()

    def _had(self, name: str, location: str) -> int:
        """How much of an upload the registry has."""
        with self._repository.access.ask("GET", location, what=name, accepted={200, 202, 204}) as answer:
            return _had(answer.headers.get("Range", ""))


def _had(text: str) -> int:
    """`0-1023` is 1024 bytes; of none registries say `0-0`."""
    match = re.fullmatch(r"(?:bytes=)?0-([0-9]+)", text)
    return int(match[1]) + 1 if match is not None and int(match[1]) else 0
