"""The history of a build folder: build/nightly/history.jsonl, a line an attempt, appended and never changed.

Two histories merge as sets do, by the runs' ids. A line that was cut short, as by a kill or a full disk, costs itself
alone and is told.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from metallize.errors import FULL, MAKE_ROOM, HostError, UsageError
from metallize.files.synced import sync_folder
from metallize.night.attempt import Attempt, time_of
from metallize.night.lines import attempt_of, line_of

FOLDER = "nightly"
FILE = "history.jsonl"
_MOST_TOLD = 5
_AHEAD = timedelta(days=1)
"""So much may the clocks of a fleet's hosts differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The attempts in the order in which they were written, each once; and the lines that are none, by number."""

    attempts: tuple[Attempt, ...] = ()
    unreadable: tuple[int, ...] = ()
    ahead: tuple[str, ...] = ()
    """Nights that are left out: they are yet to come."""

    def until(self, now: datetime) -> History:
        """Without the nights that are yet to come: some clock was wrong when they were written, or this one is now.

        The night that a wrong clock dates latest would be the latest for as long, and no other would be judged.
        """
        times = {night: time_of(night) for night in {each.night for each in self.attempts}}
        ahead = {night for night, began in times.items() if began is not None and began > now + _AHEAD}
        if not ahead:
            return self
        left = tuple(each for each in self.attempts if each.night not in ahead)
        return replace(self, attempts=left, ahead=tuple(sorted(ahead)))

    def told(self) -> str:
        """What could not be read, and what is left out, in a sentence; empty where nothing is."""
        return "; ".join(filter(None, (self._unreadable(), self._ahead())))

    def _ahead(self) -> str:
        if not self.ahead:
            return ""
        some = ", ".join(self.ahead[:_MOST_TOLD]) + (", ..." if self.ahead[_MOST_TOLD:] else "")
        count = len(self.ahead)
        what = "1 night is" if count == 1 else f"{count} nights are"
        return f"{what} yet to come by this host's clock, which is wrong or was, and left out: {some}"

    def _unreadable(self) -> str:
        if not self.unreadable:
            return ""
        some = ", ".join(map(str, self.unreadable[:_MOST_TOLD])) + (", ..." if self.unreadable[_MOST_TOLD:] else "")
        count = len(self.unreadable)
        what = "1 line" if count == 1 else f"{count} lines"
        return f"{what} of the history could not be read and {'is' if count == 1 else 'are'} left out: line {some}"


def history_path(build_dir: Path) -> Path:
    """Where a build folder has its history."""
    return build_dir / FOLDER / FILE


def append(path: Path, attempts: Iterable[Attempt]) -> None:
    """Write attempts down for good: one write with O_APPEND, then fsync(2), with nobody else's in between.

    Raises HostError where the disk is full or the folder cannot be written to.
    """
    text = "".join(f"{line_of(each)}\n" for each in attempts).encode("utf-8")
    if not text:
        return
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)  # whoever looks at the end must not see half of another's line
            size = os.fstat(number).st_size
            cut_short = size > 0 and os.pread(number, 1, size - 1) != b"\n"
            whole = b"\n" + text if cut_short else text
            if os.write(number, whole) != len(whole):
                raise HostError(f"{path}: the disk took a part of the line only", hint=MAKE_ROOM)
            os.fsync(number)
        finally:
            os.close(number)
        if new:
            sync_folder(path.parent)
    except OSError as exc:
        hint = MAKE_ROOM if exc.errno in FULL else "see its owner and rights"
        raise HostError(f"{path}: {exc.strerror or exc}", hint=hint) from exc


def read(path: Path) -> History:
    """The whole history. Raises HostError where the file is there and cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return History()
    except OSError as exc:
        raise HostError(f"{path}: {exc.strerror or exc}", hint="see its owner and rights") from exc
    return parse(data)


def parse(data: bytes) -> History:
    """The history that these bytes are; of lines with one id the last in the alphabet counts, in whatever order."""
    found: dict[str, tuple[str, Attempt]] = {}
    unreadable = []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        line = raw.decode("utf-8", "replace")
        if not line.strip():
            continue
        try:
            attempt = attempt_of(line)
        except ValueError:
            unreadable.append(number)
            continue
        before = found.get(attempt.run)
        if before is None or before[0] < line:
            found[attempt.run] = (line, attempt)
    return History(attempts=tuple(attempt for _, attempt in found.values()), unreadable=tuple(unreadable))


def merge(path: Path, others: Iterable[Path]) -> int:
    """Take in what other histories have and this one has not; how many attempts that were.

    Raises UsageError where one is not there, HostError where one cannot be read, before anything is written.
    """
    known = {each.run: line_of(each) for each in read(path).attempts}
    new: dict[str, Attempt] = {}
    for other in others:
        if not other.is_file():
            raise UsageError(f"{other}: there is no such history", hint="name a build folder that has one")
        for each in read(other).attempts:
            line = line_of(each)
            if known.get(each.run, "") < line:
                known[each.run], new[each.run] = line, each
    append(path, new.values())
    return len(new)
