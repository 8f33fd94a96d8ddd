"""The images that a worker's host has fetched, each once, by content, up to a limit.

FOLDER/SHA256        the bytes, there whole or not at all
FOLDER/SHA256.json   what the file looked like when they were found to be those
FOLDER/SHA256.lock   locked by whoever fetches it, and shared by all who boot from it: nobody removes it meanwhile

Several workers of one host may have one cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metallize.build.generator import sha256_of
from metallize.build.store import Stored, stamp_of, write_json
from metallize.errors import FULL, MAKE_ROOM, HostError
from metallize.files.json_file import read_mapping

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PAUSE_SECONDS = 0.02
_TRIES = 3
Fetch = Callable[[BinaryIO], object]
"""Writes the image, or whatever it takes for it, into a file."""


class FullError(HostError):
    """A worker's disk, or what it may use of it, is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCache:
    """The cache of one folder."""

    folder: Path
    most_bytes: int

    @contextmanager
    def image(self, sha256: str, size_bytes: int, fetch: Fetch) -> Iterator[Stored]:
        """An image that stays there while the body runs, fetched where it is not here.

        Raises HostError where what comes is not the image, or not all of it; FullError where there is no room.
        """
        if _DIGEST.fullmatch(sha256) is None:
            raise HostError(f"`{sha256[:80]}` is no digest of an image")
        with ExitStack() as held:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                stored = self._held(self.folder / sha256, size_bytes, fetch, held)
            except OSError as exc:
                raise self._told(exc) from exc
            yield stored

    def _held(self, path: Path, size_bytes: int, fetch: Fetch, held: ExitStack) -> Stored:
        """The image, and a place among those who use it."""
        left = _TRIES
        while left:
            with ExitStack() as mine:
                lock = mine.enter_context(self._locked(path.name, fcntl.LOCK_SH))
                stored = _there(path)
                if stored is not None:
                    os.utime(lock)  # when it was last of use
                    held.push(mine.pop_all())
                    return stored
            with ExitStack() as alone:
                try:
                    alone.enter_context(self._locked(path.name, fcntl.LOCK_EX | fcntl.LOCK_NB))
                except BlockingIOError:  # somebody has it by now and uses it, or looks: whoever waited would wait long
                    time.sleep(_PAUSE_SECONDS)
                    continue
                left -= 1
                if _there(path) is None:
                    _remove(path)
                    self._room_for(size_bytes)
                    self._fetch(path, size_bytes, fetch)
        raise HostError(f"the image {path.name[:12]} is removed from {self.folder} as often as it comes")

    def has(self, sha256: str) -> bool:
        """Whether it is here."""
        return (self.folder / sha256).is_file()

    def _told(self, exc: OSError) -> HostError:
        if exc.errno in FULL:
            return FullError(f"the worker's disk is full: {self.folder}: {exc.strerror}", hint=MAKE_ROOM)
        return HostError(f"the worker's images in {self.folder}: {exc.strerror or exc}")

    def _fetch(self, path: Path, size_bytes: int, fetch: Fetch) -> None:
        part = path.with_name(f"{path.name}.part")  # whoever left one is gone: the lock was free
        try:
            with part.open("wb") as file:
                digest = _Digesting(file, size_bytes)
                fetch(digest)  # type: ignore[arg-type]  # all that is done with it is to write
                file.truncate(digest.count)
                file.flush()
                os.fsync(file.fileno())
            if digest.count != size_bytes:
                raise HostError(f"of the image {path.name[:12]} {digest.count} of {size_bytes} bytes came")
            if digest.hexdigest() != path.name:
                raise HostError(f"what came for the image {path.name[:12]} is not that image")
            part.replace(path)
            write_json(path.with_name(f"{path.name}.json"), stamp_of(path.stat()))
        finally:
            part.unlink(missing_ok=True)

    def _room_for(self, size_bytes: int) -> None:
        """Remove what was not of use for longest, and is not in use. Raises FullError where that is not enough."""
        if size_bytes > self.most_bytes:
            raise FullError(
                f"an image of {size_bytes >> 20} MiB is more than the cache may hold ({self.most_bytes >> 20})"
            )
        there = sorted(self._images(), key=_last_use)
        sizes = {path: path.stat().st_size for path in there}
        for path in there:
            if sum(sizes.values()) + size_bytes <= self.most_bytes and self._free_bytes() > size_bytes:
                return
            with suppress(BlockingIOError), self._locked(path.name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove(path)
                del sizes[path]
        if sum(sizes.values()) + size_bytes > self.most_bytes:
            raise FullError(f"the cache of {self.most_bytes >> 20} MiB is full of images that are in use")

    def _images(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if _DIGEST.fullmatch(path.name)]

    def _free_bytes(self) -> int:
        info = os.statvfs(self.folder)
        return info.f_bavail * info.f_frsize

    @contextmanager
    def _locked(self, sha256: str, how: int) -> Iterator[int]:
        number = os.open(self.folder / f"{sha256}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, how)
            yield number
        finally:
            os.close(number)


class _Digesting:
    """Writes on, and knows what was written; never more than the image has."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most, self._digest = file, most, hashlib.sha256()
        self.count = 0

    def write(self, data: bytes) -> int:
        self.count += len(data)
        if self.count > self._most:
            raise HostError(f"more than the {self._most} bytes of the image came")
        self._digest.update(data)
        if data.count(0) == len(data):  # a hole stays one
            self._file.seek(len(data), os.SEEK_CUR)
        else:
            self._file.write(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _there(path: Path) -> Stored | None:
    """What is there, if it is still those bytes."""
    try:
        info = path.stat()
        known = read_mapping(path.with_name(f"{path.name}.json"))
        if known == stamp_of(info) or sha256_of(path) == path.name:
            return Stored(path=path, manifest={"sha256": path.name}, stamp=stamp_of(info))
    except (OSError, ValueError):
        pass
    return None


def _last_use(path: Path) -> float:
    try:
        return path.with_name(f"{path.name}.lock").stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> None:
    for each in (path.with_name(f"{path.name}.json"), path):
        each.unlink(missing_ok=True)
