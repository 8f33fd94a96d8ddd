"""A file that is written into a bucket: in one request where it is small, in parts where it is not, never in memory.

All parts but the last have one size, as some stores want it, so that whoever writes the same bytes again cuts them at
the same places. A part that the store has from an attempt that was interrupted is compared by its MD5, which is its
ETag in most stores; where it is not, or is another, the part is sent again.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, cast

from metallize.errors import HostError
from metallize.release.objects.bucket import FOREVER, Bucket, Part

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MIB = 1 << 20
PART_BYTES = 8 * _MIB
MOST_PARTS = 10_000
"""Of an upload, in every store (Amazon S3 multipart upload limits)."""
_ROOM_PARTS = 1000
"""So many are left for what is larger than was foretold: xz makes a little more of what does not pack."""
_AT_ONCE = 2
"""So many parts are in memory: one is on its way, while the next one is made."""


def part_bytes(about_bytes: int) -> int:
    """Of a file of about that size: small parts, but where there would be too many; whole MiB then."""
    least = about_bytes // (MOST_PARTS - _ROOM_PARTS)
    return PART_BYTES if least <= PART_BYTES else (least // _MIB + 1) * _MIB


def upload(
    bucket: Bucket,
    key: str,
    kind: str,
    fill: Callable[[BinaryIO], None],
    require: Callable[[], None],
    *,
    size: int,
) -> None:
    """Store what `fill` writes under a key that nothing has yet, in parts of that size.

    `require` raises where nothing may be written now.

    Whatever is raised, there is no object of that key; what the store has of it by then is used by the next attempt.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload") as pool:
        file = _Upload(bucket, key, kind, pool, require, size)
        try:
            fill(cast("BinaryIO", file))
            file.end()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Upload(io.BufferedIOBase):
    """What `fill` is given."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        kind: str,
        pool: ThreadPoolExecutor,
        require: Callable[[], None],
        size: int,
    ) -> None:
        self._bucket, self._key, self._kind, self._pool, self._require = bucket, key, kind, pool, require
        self._part_bytes, self._pending = size, bytearray()
        self._written = 0
        self._upload: str | None = None
        self._known: Mapping[int, Part] = {}
        self._sent: list[Part] = []
        self._going: deque[Future[Part]] = deque()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        for at in range(0, len(view), self._part_bytes):
            self._pending += view[at : at + self._part_bytes]
            while len(self._pending) >= self._part_bytes:
                piece = self._pending
                self._pending = piece[self._part_bytes :]
                del piece[self._part_bytes :]
                self._part(piece)
        self._written += len(view)
        return len(view)

    def end(self) -> None:
        """Make an object of it."""
        if self._upload is None:
            self._require()
            for each in self._bucket.unfinished(self._key):
                if each.key == self._key:
                    self._bucket.abort(self._key, each.id)
            # None where there is one by now: publish reads back what there is.
            self._bucket.put(self._key, bytes(self._pending), self._kind, FOREVER, only_over=None)
            return
        if self._pending:
            self._part(self._pending)
        while self._going:
            self._sent.append(self._going.popleft().result())
        self._require()
        if not self._bucket.complete(self._key, self._upload, self._sent):
            self._bucket.abort(self._key, self._upload)

    def _part(self, content: bytearray) -> None:
        number = len(self._sent) + len(self._going) + 1
        if number > MOST_PARTS:
            most = MOST_PARTS * self._part_bytes
            raise HostError(
                f"{self._bucket.place(self._key)} has more than {most >> 30} GiB: an upload in parts has no more",
                hint="make the image smaller: a raw disk is packed, and zeros in it cost nothing",
            )
        if self._upload is None:
            self._upload = self._begun()
        self._require()
        self._going.append(self._pool.submit(self._send, self._upload, number, content))
        while len(self._going) >= _AT_ONCE:
            self._sent.append(self._going.popleft().result())

    def _begun(self) -> str:
        """The newest upload that was left behind, or a new one; the others of this key go."""
        left = [each for each in self._bucket.unfinished(self._key) if each.key == self._key]
        for each in left[1:]:
            self._bucket.abort(self._key, each.id)
        if not left:
            return self._bucket.begin(self._key, self._kind)
        self._known = self._bucket.parts(left[0])
        return left[0].id

    def _send(self, upload: str, number: int, content: bytearray) -> Part:
        known = self._known.get(number)
        md5 = hashlib.md5(content, usedforsecurity=False)
        if known is not None and known.size_bytes == len(content) and known.etag.strip('"') == md5.hexdigest():
            return known
        return self._bucket.send(self._key, upload, number, bytes(content), md5.digest())
