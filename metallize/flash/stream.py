"""An image that comes piece by piece onto a disk or into a file: nobody takes it for whole before it is.

The first MiB, with the partition table and the boot loader's beginning, is written last, when all the rest has been
written and what came is known to be right; till then there are zeros, from which nothing boots.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from metallize.errors import HostError
from metallize.events import Events, StepHandle, step
from metallize.flash.blockmap import BLOCK_BYTES, Span
from metallize.flash.readback import read_back
from metallize.flash.target import is_device, mark_as_ours, new_file, open_device, partitions_anew, require_allowed
from metallize.flash.write import Flashed, not_the_image, put, zero_device
from metallize.meter import Meter


def flash_stream(
    pieces: Iterable[bytes], size: int, sha256: str, target: Path, events: Events, *, any_disk: bool = False
) -> Flashed:
    """Write what comes, `size` bytes with this digest, and read it back.

    Whatever `pieces` raises ends it: a disk is then left with zeros at its beginning, and no file appears. Raises
    UsageError where the target must not be written to, HostError where writing or reading back fails.
    """
    if is_device(target):
        require_allowed(target, size, any_disk=any_disk)
        with open_device(target) as device:
            done = _Arrival(device, target, size, device=True).written(pieces, sha256, events)
            partitions_anew(device)
        return done
    with new_file(target) as (file, part):
        os.ftruncate(file, size)
        done = _Arrival(file, target, size, device=False).written(pieces, sha256, events)
        mark_as_ours(file)
        part.replace(target)
    return done


class _Arrival:
    """What has come of one image."""

    def __init__(self, target: int, path: Path, size: int, *, device: bool) -> None:
        self._target, self._path, self._size, self._device = target, path, size, device
        self._digest = hashlib.sha256()
        self._at = 0
        self._data_bytes = 0
        self._first = b""
        self._waiting = bytearray()

    def written(self, pieces: Iterable[bytes], sha256: str, events: Events) -> Flashed:
        try:
            self._forget_first()
            with step(events, "write", f"fetch and write to {self._path}") as handle:
                self._take(pieces, handle)
            if self._at != self._size or self._digest.hexdigest() != sha256:
                raise HostError(
                    f"what came is not the image: {self._at} bytes, sha256 {self._digest.hexdigest()[:12]}",
                    hint="fetch it again",
                )
            put(self._target, self._first, 0)
            os.fsync(self._target)
        except OSError as exc:
            raise not_the_image(self._path, exc) from exc
        try:
            self._require_there(sha256, events)
        except BaseException:
            self._forget_first()
            raise
        return Flashed(target=self._path, size_bytes=self._size, written_bytes=self._data_bytes, sha256=sha256)

    def _require_there(self, sha256: str, events: Events) -> None:
        if read_back(None, self._size, self._target, self._path, events) != sha256:
            raise HostError(
                f"{self._path} does not hold what was written to it",
                hint="the medium is worn, or smaller than it says: use another",
            )

    def _forget_first(self) -> None:
        if self._device:
            put(self._target, bytes(min(BLOCK_BYTES, self._size)), 0)
            os.fsync(self._target)

    def _take(self, pieces: Iterable[bytes], handle: StepHandle) -> None:
        meter = Meter(handle, self._size)
        for piece in pieces:
            self._waiting += piece
            while len(self._waiting) >= BLOCK_BYTES:
                self._block(bytes(self._waiting[:BLOCK_BYTES]))
                del self._waiting[:BLOCK_BYTES]
                meter.at(self._at)
        if self._waiting:
            self._block(bytes(self._waiting))
        os.fsync(self._target)
        handle.detail = (
            f"{self._data_bytes / 1e6:.0f} MB of data, {(self._at - self._data_bytes) / 1e6:.0f} MB of zeros"
        )

    def _block(self, block: bytes) -> None:
        start = self._at
        if start + len(block) > self._size:
            raise HostError(f"more comes than the {self._size} bytes of the image", hint="fetch it again")
        self._at += len(block)
        self._digest.update(block)
        if not block.strip(b"\0"):
            if start and self._device:
                zero_device(self._target, Span(start=start, length=len(block), data=False))
            elif not start:
                self._first = block
            return
        self._data_bytes += len(block)
        if start:
            put(self._target, block, start)
        else:
            self._first = block
