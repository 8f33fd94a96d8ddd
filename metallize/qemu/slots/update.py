"""A disk at the moments of its update at which the power might have gone: is what would be started next whole?

Every write to the partition tables, the ESP or a slot is a moment, and seeded ones are, at which what no flush had made
sure of was lost, reordered or torn. Nothing is booted: a minute is enough for thousands.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from metallize.errors import HostError
from metallize.model.machine import Firmware
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import nameless_file
from metallize.qemu.filesystems import HEAD_BYTES, is_ext, partitions
from metallize.qemu.moments import Disk as BootDisk
from metallize.qemu.moments import Fault, copy_part, disk_and_log, disks_of, problem_in, spread
from metallize.qemu.slots import fat
from metallize.qemu.slots.disk import Disk, NotWholeError, System
from metallize.qemu.slots.gpt import Row, read_table
from metallize.qemu.write_log import Cut, Replay, WriteLog, cuts

_SECTOR = 512
_TABLE_BYTES = 34 * _SECTOR
"""Of a partition table at the disk's head, and of its copy at the end."""
_DATA = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
"""The type of what is neither a slot nor the ESP, as a table has it: Linux filesystem data."""
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the log in which the update is, by the log's size at its beginning and at its end."""

    begin_bytes: int
    end_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Brick:
    """A moment after which the machine would not have come up."""

    cut: Cut
    problem: str
    write: str
    """The last write that came to the disk, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A moment at which the ESP's filesystem is damaged."""

    cut: Cut
    problem: str
    write: str
    started: str
    """What the boot loader would have started all the same; empty where that is nothing whole."""
    lost: str = ""
    """Why it would not be whole once fsck.fat has mended it, as the next start does; empty where it would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of the moments."""

    tried: int
    writes: int
    """Of the update."""
    seconds: float
    started: Mapping[str, int]
    """How often each system would have been started."""
    bricks: tuple[Brick, ...] = ()
    checks: int = 0
    """How many filesystems were looked at in all."""
    faults: tuple[Fault, ...] = ()
    esps: int = 0
    """How many different ESPs were checked."""
    damages: tuple[Damage, ...] = ()

    @property
    def a_minute(self) -> float:
        """Moments in a minute."""
        return self.tried / self.seconds * 60 if self.seconds else 0.0


class Signs:
    """What names the bytes of a span at a cut: which of the writes that touch it came to the disk."""

    def __init__(self, log: WriteLog) -> None:
        self._writes = log.writes
        self._touching: dict[tuple[int, int], tuple[list[int], frozenset[int]]] = {}
        self.cut = Cut(flushed=0)
        self.other: Row | None = None
        """Where the disk holds something else for now."""

    def of(self, start: int, size: int) -> object:
        """The same value for the same bytes."""
        other = self.other
        if other is not None and start < other.start + other.size and other.start < start + size:
            return object()
        if (start, size) not in self._touching:
            end = start + size
            touching = [no for no, each in enumerate(self._writes) if each.at < end and each.at + each.size > start]
            self._touching[start, size] = touching, frozenset(touching)
        touching, known = self._touching[start, size]
        cut = self.cut
        later = tuple(each for each in cut.reached if each in known)
        torn = cut.torn if later and later[-1] == cut.reached[-1] else None
        return bisect_left(touching, cut.flushed), later, torn


@dataclass(slots=True, kw_only=True)
class _Look:
    """A disk that is brought to one moment after the other."""

    log: WriteLog
    number: int
    folder: Path
    firmware: Firmware
    systems: tuple[System, ...]
    disk: Disk
    signs: Signs
    stack: ExitStack
    """Closes what is opened."""
    started: Counter[str] = field(default_factory=Counter)
    bricks: list[Brick] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    checks: int = 0
    esps: int = 0
    damages: list[Damage] = field(default_factory=list)
    tried: int = 0
    _copies: dict[tuple[int, int], fat.Copy] = field(default_factory=dict)

    def at(self, cut: Cut, *, filesystems: bool) -> None:
        """The disk is as the cut left it."""
        self.signs.cut = cut
        self.tried += 1
        started = ""
        try:
            started = self.disk.started(self.firmware, self.systems).label
            self.started[started] += 1
        except NotWholeError as exc:
            self.bricks.append(Brick(cut=cut, problem=str(exc), write=self._last(cut)))
        self._look_at_esp(cut, started)
        if not filesystems:
            return
        for partition in partitions(os.pread(self.number, HEAD_BYTES, 0)):
            if not is_ext(os.pread(self.number, 2048, partition.start_bytes)):
                continue
            self.checks += 1
            if problem := problem_in(self.number, partition, self.folder):
                self.faults.append(Fault(cut=cut, partition=partition.number, problem=problem))

    def _look_at_esp(self, cut: Cut, started: str) -> None:
        """Whether its filesystem is damaged, which the boot loader need not notice, and what mending it destroys."""
        try:
            row, damage = self.disk.of_esp(lambda row: (row, self._damage(cut, row)))
        except NotWholeError:
            return  # no table leads to it: nothing is started, and that has been said
        if not damage:
            return
        found = Damage(cut=cut, problem=fat.in_words(damage), write=self._last(cut), started=started)
        self.damages.append(replace(found, lost=self._lost(cut, row)))

    def _damage(self, cut: Cut, row: Row) -> tuple[str, ...]:
        self.esps += 1
        return fat.damage_of(self._copy(cut, row).number)

    def _copy(self, cut: Cut, row: Row) -> fat.Copy:
        """The ESP in a file of its own, which follows the disk."""
        place = row.start, row.size
        copy = self._copies.get(place)
        if copy is None:
            number = nameless_file(self.stack, self.folder)
            copy_part(self.number, row.start, row.size, number)
            copy = fat.Copy(log=self.log, disk=self.number, start=row.start, size=row.size, number=number, cut=cut)
            self._copies[place] = copy
        copy.follow(cut)
        return copy

    def _lost(self, cut: Cut, row: Row) -> str:
        """Mend it on the disk, see what would be started then, and take it back."""
        now = self._copy(cut, row).number
        with ExitStack() as stack:
            mended = nameless_file(stack, self.folder)
            copy_part(now, 0, row.size, mended)
            fat.mend(mended)
            if left := fat.damage_of(mended):
                return f"fsck.fat does not mend it: {fat.in_words(left)}"
            changed = tuple(fat.differences(now, mended))
            self.signs.other = row
            try:
                self._put(mended, changed, row)
                self.disk.started(self.firmware, self.systems)
            except NotWholeError as exc:
                return f"once it is mended: {exc}"
            finally:
                self._put(now, changed, row)
                self.signs.other = None
        return ""

    def _put(self, source: int, spans: Iterable[tuple[int, int]], row: Row) -> None:
        for at, size in spans:
            fat.write_at(self.number, os.pread(source, size, at), row.start + at)

    def _last(self, cut: Cut) -> str:
        number = cut.reached[-1] if cut.reached else cut.flushed - 1
        if number < 0:
            return "none"
        write = self.log.writes[number]
        return f"write {number + 1}, of {write.size} bytes at {write.at}"


def check_update(
    plan: GuestPlan, folder: Path, window: Window, new: System, *, firmware: Firmware, count: int, seed: int
) -> Seen:
    """Bring a copy of the disk to each moment of the update, and see which system would be started then.

    The ESP's filesystem is checked at each, and at `count` of them every ext4 filesystem. The machine is off, and its
    plan has a log. Raises HostError where the log or a tool is missing, or the disk was not whole to begin with.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        log, number = disk_and_log(plan, folder, stack)
        begin, end = _numbers(log, window)
        signs = Signs(log)
        disk, replay = Disk(number, folder, signs.of), Replay(log, number)
        with replay.at(Cut(flushed=0)):
            old = _at_first(disk, firmware)
        look = _Look(
            log=log, number=number, folder=folder, firmware=firmware, systems=(new, old), disk=disk, signs=signs,
            stack=stack,
        )  # fmt: skip
        with replay.at(Cut(flushed=begin)):
            plain = _each_write(log, number, begin, len(log.writes), of_slots=True)
        seeded = cuts(log, count, seed, since=begin)
        moments = [*((cut, True) for cut in seeded), *((cut, False) for cut in plain)]
        for cut, filesystems in sorted(moments, key=lambda each: (each[0].flushed, each[0].reached)):
            with replay.at(cut):
                look.at(cut, filesystems=filesystems)
            lost = [each for each in look.damages if each.lost]
            if len(look.bricks) + len(look.faults) + len(lost) >= _MOST_FAULTS:
                break
    return Seen(
        tried=look.tried, writes=end - begin, seconds=time.monotonic() - began, started=dict(look.started),
        bricks=tuple(look.bricks), checks=look.checks, faults=tuple(look.faults), esps=look.esps,
        damages=tuple(look.damages),
    )  # fmt: skip


@contextmanager
def disks_of_update(plan: GuestPlan, folder: Path, window: Window, boots: int) -> Iterator[Iterator[BootDisk]]:
    """The disk after `boots` of the update's writes to the tables and the ESP, one after the other, spread over them.

    Raises as `check_update` does.
    """
    with ExitStack() as stack:
        log, number = disk_and_log(plan, folder, stack)
        begin, end = _numbers(log, window)
        replay = Replay(log, number)
        with replay.at(Cut(flushed=begin)):
            wanted = spread(_each_write(log, number, begin, end, of_slots=False), boots)
        yield disks_of(plan, folder, number, replay, wanted)


def _at_first(disk: Disk, firmware: Firmware) -> System:
    try:
        return disk.only_system(firmware)
    except NotWholeError as exc:
        raise HostError(f"the image of the release before: {exc}", hint="power_cuts need two slots and an ESP") from exc


def _numbers(log: WriteLog, window: Window) -> tuple[int, int]:
    """How many writes there were when the log had these sizes."""
    found = []
    for size in (window.begin_bytes, window.end_bytes):
        later = (no for no, each in enumerate(log.writes) if each.data_at is not None and each.data_at >= size)
        found.append(next(later, len(log.writes)))
    return found[0], found[1]


def _each_write(log: WriteLog, number: int, begin: int, end: int, *, of_slots: bool) -> tuple[Cut, ...]:
    """The moments right after each write that may change what is started."""
    size = os.fstat(number).st_size
    try:
        rows = read_table(lambda at, count: os.pread(number, count, at), size).rows
    except ValueError as exc:
        raise HostError(f"the disk's partition table was not whole before the update: {exc}") from exc
    kinds = [row for row in rows if row.kind != _DATA]
    esp = kinds if of_slots else [row for row in kinds if row.label == "esp"]
    spans = [(0, _TABLE_BYTES), (size - _TABLE_BYTES, size), *((row.start, row.start + row.size) for row in esp)]
    return tuple(
        Cut(flushed=no + 1)
        for no in range(begin, end)
        if any(log.writes[no].at < stop and log.writes[no].at + log.writes[no].size > start for start, stop in spans)
    )
