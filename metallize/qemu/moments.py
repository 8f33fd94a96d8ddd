"""The filesystems of a disk at many moments at which the power might have gone, from the log of what was written to it.

The disk is brought to each moment in a copy, offline: nothing is booted, so that a minute is enough for hundreds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.command import run
from metallize.errors import HostError
from metallize.files.sparse import extents
from metallize.qemu.argv import GuestPlan, source_argv
from metallize.qemu.descriptors import descriptor_path, nameless_file
from metallize.qemu.filesystems import HEAD_BYTES, Partition, is_ext, partitions, problem_of
from metallize.qemu.write_log import Cut, Replay, WriteLog, cuts, read_log

_PIECE_BYTES = 1 << 20
_MOST_FAULTS = 20
"""After so many moments with something wrong no more are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A moment at which the disk would not have come back whole."""

    cut: Cut
    partition: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What came of them."""

    tried: int
    checks: int
    """How many filesystems were looked at in all; 0 where the disk has none that is known here."""
    writes: int
    flushes: int
    seconds: float
    faults: tuple[Fault, ...] = ()


def check_moments(plan: GuestPlan, folder: Path, count: int, seed: int) -> Moments:
    """Bring a copy of the disk to `count` moments, and check every ext4 filesystem at each.

    Each journal is replayed, as a boot would, and then a whole check must find nothing. The machine is off, and its
    plan has a log. Raises HostError where the log or a tool is missing, CommandError where the image cannot be read.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        log, disk = disk_and_log(plan, folder, stack)
        replay, checks, tried, faults = Replay(log, disk), 0, 0, list[Fault]()
        for cut in cuts(log, count, seed):
            with replay.at(cut):
                tried += 1
                for partition in partitions(os.pread(disk, HEAD_BYTES, 0)):
                    if not is_ext(os.pread(disk, 2048, partition.start_bytes)):
                        continue
                    checks += 1
                    if problem := problem_in(disk, partition, folder):
                        faults.append(Fault(cut=cut, partition=partition.number, problem=problem))
            if len(faults) >= _MOST_FAULTS:
                break
    return Moments(
        tried=tried, checks=checks, writes=len(log.writes), flushes=len(log.flushes),
        seconds=time.monotonic() - started, faults=tuple(faults),
    )  # fmt: skip


@contextmanager
def disks_at(plan: GuestPlan, folder: Path, count: int, seed: int, boots: int) -> Iterator[Iterator[Disk]]:
    """The disk at `boots` of those moments, one after the other; each is gone once the next is asked for.

    They are spread over the time from power-on to the cut. Raises as `check_moments` does.
    """
    with ExitStack() as stack:
        log, disk = disk_and_log(plan, folder, stack)
        yield disks_of(plan, folder, disk, Replay(log, disk), spread(cuts(log, count, seed), boots))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk at a moment."""

    cut: Cut
    plan: GuestPlan
    """Of a machine that has it."""


def spread(found: Sequence[Cut], count: int) -> tuple[Cut, ...]:
    """So many of them, from the first to the last as far apart as can be. Pure."""
    if count >= len(found):
        return tuple(found)
    return tuple(found[(2 * number + 1) * len(found) // (2 * count)] for number in range(count))


def disks_of(plan: GuestPlan, folder: Path, disk: int, replay: Replay, wanted: Sequence[Cut]) -> Iterator[Disk]:
    """The disk at each of these moments, one after the other; each is gone once the next is asked for."""
    for cut in wanted:
        with ExitStack() as stack, replay.at(cut):
            copy = nameless_file(stack, folder)
            argv = ("qemu-img", "convert", "-f", "raw", "-O", "qcow2", descriptor_path(disk), descriptor_path(copy))
            run(argv, pass_fds=(disk, copy))
            mine = replace(plan, logs_writes=False, write_log=None, overlay=descriptor_path(copy))
            yield Disk(cut=cut, plan=replace(mine, descriptors=(*plan.descriptors, copy)))


def disk_and_log(plan: GuestPlan, folder: Path, stack: ExitStack) -> tuple[WriteLog, int]:
    """The log of what was written, and a copy of the disk as it was before."""
    if plan.write_log is None:
        raise AssertionError("nothing has logged what the guest wrote")
    number = os.open(plan.write_log, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, number)
    try:
        log = read_log(number)
    except ValueError as exc:
        raise HostError(f"what the guest wrote is not known: {exc}", hint="was there room on the disk?") from exc
    disk = nameless_file(stack, folder)
    run(source_argv(plan, descriptor_path(disk)), pass_fds=(disk, *plan.descriptors))
    os.truncate(disk, max(os.fstat(disk).st_size, plan.disk_bytes or 0))
    return log, disk


def problem_in(disk: int, partition: Partition, folder: Path) -> str:
    """What e2fsck finds in a copy once it has replayed the journal; empty where all is well."""
    with ExitStack() as stack:
        copy = nameless_file(stack, folder)
        copy_part(disk, partition.start_bytes, partition.size_bytes or os.fstat(disk).st_size, copy)
        return problem_of(copy)


def copy_part(source: int, start: int, size: int, target: int) -> None:
    """A part of a file into one that is empty, holes as holes."""
    end = min(start + size, os.fstat(source).st_size)
    os.truncate(target, end - start)
    for extent in extents(source, end):
        if extent.hole:
            continue
        for at in range(max(extent.start, start), extent.start + extent.length, _PIECE_BYTES):
            piece = os.pread(source, min(_PIECE_BYTES, extent.start + extent.length - at), at)
            done = 0
            while done < len(piece):
                done += os.pwrite(target, piece[done:], at - start + done)
