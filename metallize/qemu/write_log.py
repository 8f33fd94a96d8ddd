"""What a guest wrote to its disk, in order: the log of QEMU's blklogwrites, in the form of the kernel's dm-log-writes.

A sector of a superblock, then for each request a sector that tells of it and the data that it wrote (Linux,
Documentation/admin-guide/device-mapper/log-writes.rst; QEMU, block/blklogwrites.c). Flushes are requests of their own.
"""

from __future__ import annotations

import ctypes
import os
import random
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _DISCARD = 1, 4
_TAIL = 512
"""No disk writes less than a sector in one piece."""
_PIECE_BYTES = 1 << 20
_MOST_ENTRIES = 1 << 22
_KEEP_SIZE, _PUNCH_HOLE = 1, 2


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changed the disk."""

    at: int
    """Where on the disk, in bytes."""
    size: int
    data_at: int | None
    """Where in the log its bytes are; None for a discard, after which there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLog:
    """All of it."""

    number: int
    """The descriptor of its file."""
    writes: tuple[Write, ...]
    flushes: tuple[int, ...]
    """How many writes each flush made sure of, in order."""

    def data(self, write: Write, size: int | None = None) -> Iterator[bytes]:
        """What it wrote, or the first bytes of that; of a discard nothing."""
        at = write.data_at
        left = 0 if at is None else write.size if size is None else size
        while at is not None and left > 0:
            piece = os.pread(self.number, min(left, _PIECE_BYTES), at)
            if not piece:
                raise ValueError("the log of writes ends in the middle of one")
            yield piece
            left -= len(piece)
            at += len(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a disk holds when its power goes: all that was flushed, and of the rest whatever came to it."""

    flushed: int
    """So many writes are on it for certain."""
    reached: tuple[int, ...] = ()
    """The numbers of later writes that came to it as well, in their order."""
    torn: int | None = None
    """Of the last of these no more than so many bytes."""

    def __str__(self) -> str:
        if not self.reached:
            return f"after write {self.flushed}"
        torn = "" if self.torn is None else f", the last of them to byte {self.torn}"
        return f"after write {self.flushed}, with {len(self.reached)} of those that no flush had made sure of{torn}"


def read_log(number: int) -> WriteLog:
    """Raises ValueError for a file that is no such log, or not whole."""
    head = os.pread(number, _SUPER.size, 0)
    if len(head) < _SUPER.size:
        raise ValueError("the log of writes is empty")
    magic, version, count, sector = _SUPER.unpack(head)
    if magic != _MAGIC or version != 1 or sector < _TAIL or sector & (sector - 1) or count > _MOST_ENTRIES:
        raise ValueError("it is no log of writes")
    end, place = os.fstat(number).st_size, sector
    writes: list[Write] = []
    flushes: list[int] = []
    for _ in range(count):
        told = os.pread(number, _ENTRY.size, place)
        if len(told) < _ENTRY.size:
            raise ValueError("the log of writes ends before its last entry")
        first, sectors, flags, _ = _ENTRY.unpack(told)
        place += sector
        if flags & _FLUSH:
            flushes.append(len(writes))
        if not sectors:
            continue
        size = sectors * sector
        if flags & _DISCARD:
            writes.append(Write(first * sector, size, None))
            continue
        if place + size > end:
            raise ValueError("the log of writes ends in the middle of one")
        writes.append(Write(first * sector, size, place))
        place += size
    return WriteLog(number=number, writes=tuple(writes), flushes=tuple(flushes))


def cuts(log: WriteLog, count: int, seed: int, since: int = 0) -> tuple[Cut, ...]:
    """Moments at which the power may go, in the order of what was flushed; the same for a seed. Pure.

    None is before `since` writes were made.

    A third of them are right after a flush. At the others some of what was written since had come to the disk, in
    whatever order, and at half of these the last of it in part. What was discarded since is there still.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    marks = sorted({since, *(each for each in log.flushes if each > since)})
    found = []
    for _ in range(count):
        place = dice.randrange(len(marks))
        flushed = marks[place]
        until = marks[place + 1] if place + 1 < len(marks) else len(log.writes)
        share = dice.choice((0.0, dice.random(), dice.random()))
        written = (each for each in range(flushed, until) if log.writes[each].data_at is not None)
        reached = tuple(each for each in written if dice.random() < share)
        torn = None
        if reached and dice.random() < 0.5:  # noqa: PLR2004 - the half of them
            sectors = log.writes[reached[-1]].size // _TAIL
            torn = dice.randrange(sectors) * _TAIL
        found.append(Cut(flushed=flushed, reached=reached, torn=torn))
    return tuple(sorted(found, key=lambda each: (each.flushed, each.reached)))


class Replay:
    """A disk as it was before the first write, brought to one moment after the other."""

    def __init__(self, log: WriteLog, disk: int) -> None:
        self._log = log
        self._disk = disk
        self._done = 0

    @contextmanager
    def at(self, cut: Cut) -> Iterator[None]:
        """The disk as the cut left it, while the body runs; no cut may have less flushed than the one before.

        Whatever else the body writes to the disk is its own to take back.
        """
        if cut.flushed < self._done:
            raise AssertionError("the disk is further than that already")
        for write in self._log.writes[self._done : cut.flushed]:
            self._apply(write)
        self._done = cut.flushed
        before: list[tuple[int, bytes]] = []
        for number in cut.reached:
            write = self._log.writes[number]
            size = cut.torn if cut.torn is not None and number == cut.reached[-1] else write.size
            before.append((write.at, _read(self._disk, write.at, size)))
            self._apply(write, size)
        try:
            yield
        finally:
            for at, content in reversed(before):
                _write(self._disk, at, [content])

    def _apply(self, write: Write, size: int | None = None) -> None:
        if write.data_at is None:
            _discard(self._disk, write.at, write.size)
        else:
            _write(self._disk, write.at, self._log.data(write, size))


def _discard(number: int, at: int, size: int) -> None:
    """Have zeros there that take no room (fallocate(2)). Raises OSError."""
    size = min(size, os.fstat(number).st_size - at)
    if size <= 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    where = ctypes.c_int64(at), ctypes.c_int64(size)
    if libc.fallocate64(number, _PUNCH_HOLE | _KEEP_SIZE, *where):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _read(number: int, at: int, size: int) -> bytes:
    """Of a file that may end before: what is not there is zero."""
    return os.pread(number, size, at).ljust(size, b"\0")


def _write(number: int, at: int, pieces: Sequence[bytes] | Iterator[bytes]) -> None:
    for piece in pieces:
        done = 0
        while done < len(piece):
            done += os.pwrite(number, piece[done:], at + done)
        at += len(piece)
