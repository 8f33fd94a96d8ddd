"""What was written, read from the medium itself: the page cache would only tell what we have just told it."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from contextlib import suppress
from pathlib import Path

from metallize.errors import HostError
from metallize.events import Events, step
from metallize.flash.blockmap import BLOCK_BYTES
from metallize.meter import Meter

BLKFLSBUF = 0x1261
"""ioctl(2) of linux/fs.h: drop what is cached of a block device; root's."""


def read_back(source: int | None, size: int, target: int, path: Path, events: Events) -> str:
    """Compare the target with the image, block by block; returns the digest of what was read.

    Both are open, and nothing is to be written to `target` any more. Without a source the digest is all there is to
    compare by, and the caller does. Raises HostError where they differ.
    """
    digest = hashlib.sha256()
    with step(events, "read back", f"read back from {path}") as handle, mmap.mmap(-1, BLOCK_BYTES) as buffer:
        own = ", the image's own" if source is not None else ""
        direct = past_the_cache(target)
        meter = Meter(handle, size)
        for start in range(0, size, BLOCK_BYTES):
            length = min(BLOCK_BYTES, size - start)
            try:
                block = _read(target, buffer, start, length)
            except OSError as exc:
                raise HostError(
                    f"{path} cannot be read back at byte {start}: {exc.strerror}", hint="is the medium sound?"
                ) from exc
            if source is not None and block != os.pread(source, length, start):
                raise HostError(
                    f"{path} does not hold what was written to it: it differs in the block at byte {start}",
                    hint="the medium is worn, or smaller than it says: use another",
                )
            digest.update(block)
            meter.at(start + length)
        handle.detail = f"sha256 {digest.hexdigest()[:12]}{own}"
        if not direct:
            handle.detail += "; perhaps from memory: this filesystem does not let anybody past its cache"
    return digest.hexdigest()


def past_the_cache(target: int) -> bool:
    """Have an open file or disk, on which nothing waits to be written, read from the medium; whether that is sure.

    O_DIRECT reads past the cache (open(2)). Where a filesystem knows no such thing, what is cached is dropped; some
    (tmpfs) have no other place than memory.
    """
    with suppress(OSError):  # a user who is in the group of the disk, and not root
        fcntl.ioctl(target, BLKFLSBUF)
    os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        fcntl.fcntl(target, fcntl.F_SETFL, fcntl.fcntl(target, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError:
        return False
    return True


def _read(target: int, buffer: mmap.mmap, start: int, length: int) -> bytes:
    """Bytes of the target, fewer at its end. O_DIRECT wants whole blocks, and memory that begins with a page."""
    got = 0
    with memoryview(buffer) as view:
        while got < length:
            with view[got:] as rest:
                count = os.preadv(target, [rest], start + got)
            if not count:
                break
            got += count
        return bytes(view[: min(got, length)])
