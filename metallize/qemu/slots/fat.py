"""The FAT of an ESP as a power cut left it: what fsck.fat(8) finds, and what of that is damage.

FAT has no journal. After a cut its dirty bit is set, its two copies and its count of what is free may be a write apart,
and clusters may belong to nobody, or to a file beyond its end: every mount lives with that, and so does every boot
loader. Damage is whatever else there is: a file that is shorter than its folder says, or that shares its clusters with
another one, of which whoever removes or writes the one destroys the other. A system that checks its ESP before it is
mounted mends that with `fsck.fat -a`, at the expense of the file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metallize.command import Finished, run
from metallize.errors import HostError
from metallize.files.sparse import extents
from metallize.qemu.descriptors import descriptor_path
from metallize.qemu.write_log import Cut, WriteLog

_PIECE_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where it is on a host whose users' PATH lacks them."""
_LIMITED = ("prlimit", "--cpu=120", "--as=4294967296", "--core=0")
_DIRTY_BIT = 65
"""Its byte in the boot sector of a FAT32 (fatgen103, BS_Reserved1); in that of a FAT16 it is at 37."""
_ORDINARY = tuple(
    re.compile(expression, re.MULTILINE)
    for expression in (
        r"^fsck\.fat .*\n",
        (
            r"^There are differences between boot sector and its backup\.\n(?:This is mostly harmless\. )?"
            rf"Differences: \(offset:original/backup\)\n  {_DIRTY_BIT}:[0-9a-f/]+\n  Not automatically fixing this\.\n"
        ),
        (
            r"^(?:0x[0-9a-f]+: )?Dirty bit is set\. Fs was not properly unmounted and some data may be corrupt\.\n"
            r" Automatically removing dirty bit\.\n"
        ),
        r"^FATs differ but appear to be intact\.\s+Using first FAT\.\n",
        r"^Free cluster summary wrong \(\d+ vs\. really \d+\)\n  Auto-correcting\.\n",
        r"^Free cluster summary uninitialized \(should be \d+\)\n(?:  Auto-setting\.\n)?",
        r"^Reclaimed \d+ unused clusters? \(\d+ bytes\)\.\n",
        r"^/.*\n  File size is \d+ bytes, cluster chain length is > \d+ bytes\.\n  Truncating file to \d+ bytes\.\n",
        r'^Orphaned long file name part ".*"\n  Auto-deleting\.\n',
        r"^Leaving filesystem unchanged\.\n",
        r"^/proc/self/fd/\d+: \d+ files, \d+/\d+ clusters\n",
    )
)
"""What dosfstools 4.2 says of what is no damage; whatever it says besides is."""


def damage_in(said: str) -> tuple[str, ...]:
    """The lines of fsck.fat's that tell of damage; pure."""
    rest = f"{said.strip()}\n"
    for each in _ORDINARY:
        rest = each.sub("", rest)
    return tuple(line.strip() for line in rest.splitlines() if line.strip())


def damage_of(number: int) -> tuple[str, ...]:
    """What is damaged in a FAT that fills an open file; it stays as it is. Raises HostError without fsck.fat."""
    done = _fsck(number, "-n")
    found = damage_in(done.stdout) + tuple(done.stderr.strip().splitlines())
    if done.status in (0, 1) or found:
        return found
    return (f"fsck.fat ended with status {done.status}",)


def mend(number: int) -> None:
    """What systemd-fsck@.service(8) does before a FAT is mounted. Raises HostError without fsck.fat."""
    _fsck(number, "-a")


def _fsck(number: int, how: str) -> Finished:
    program = shutil.which("fsck.fat", path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")
    if program is None:
        raise HostError("`fsck.fat` is not installed", hint="install it: sudo apt-get install dosfstools")
    return run((*_LIMITED, program, how, descriptor_path(number)), check=False, pass_fds=(number,))


@dataclass(slots=True, kw_only=True)
class Copy:
    """A part of a disk in a file of its own, brought to each moment to which the disk was brought."""

    log: WriteLog
    disk: int
    start: int
    size: int
    number: int
    """The file, as the disk's part was after `cut`."""
    cut: Cut

    def follow(self, cut: Cut) -> None:
        """The disk is as this cut left it, and so is the file then; no less is flushed than before."""
        begun, end = self.start, self.start + self.size
        numbers = (*range(self.cut.flushed, cut.flushed), *self.cut.reached, *cut.reached)
        for write in (self.log.writes[each] for each in dict.fromkeys(numbers)):
            first, last = max(write.at, begun), min(write.at + write.size, end)
            for at in range(first, last, _PIECE_BYTES):
                piece = os.pread(self.disk, min(_PIECE_BYTES, last - at), at)
                write_at(self.number, piece, at - begun)
        self.cut = cut


def differences(one: int, other: int) -> Iterator[tuple[int, int]]:
    """Where two open files differ, as places and lengths; the other has no hole where the one has none."""
    for extent in extents(other, os.fstat(other).st_size):
        if extent.hole:
            continue
        for at in range(extent.start, extent.start + extent.length, _BLOCK_BYTES):
            size = min(_BLOCK_BYTES, extent.start + extent.length - at)
            if os.pread(one, size, at) != os.pread(other, size, at):
                yield at, size


def write_at(number: int, content: bytes, at: int) -> None:
    """All of it, at this place of an open file."""
    done = 0
    while done < len(content):
        done += os.pwrite(number, content[done:], at + done)


def in_words(damage: Iterable[str]) -> str:
    """In one line."""
    return "; ".join(damage)
