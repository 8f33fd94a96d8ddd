"""build/nightly/night.json, while a night is under way: which it is, what it tries, and the images that it made.

Whatever ends a night before it is over leaves the file, and the next start goes on with that night: what it has tried
is in the history. `night.lock` beside it is locked for as long as a night runs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from metallize.build.store import write_json
from metallize.errors import FULL, MAKE_ROOM, HostError
from metallize.events import Events, Note
from metallize.files.json_file import as_mapping, read_mapping
from metallize.night.history import FOLDER

FILE, LOCK = "night.json", "night.lock"
GOES_ON = timedelta(hours=20)
"""A night that began longer ago is over, and the next one begins."""
_SCHEMA = 1


@dataclass(slots=True)
class Journal:
    """A night that is under way."""

    path: Path
    night: str
    """When it began: ISO 8601, in UTC."""
    key: str
    """The same where the same is tried."""
    made: dict[str, str] = field(default_factory=dict)
    """The digests of the images that were made in it, by their builds' names."""
    goes_on: bool = False
    """Whether it was begun by a run that did not come to its end."""

    def note(self, build: str, sha256: str) -> None:
        """Write down that an image was made. Raises HostError."""
        self.made[build] = sha256
        self.write()

    def write(self) -> None:
        """Raises HostError where it cannot be written."""
        try:
            write_json(self.path, {"schema": _SCHEMA, "night": self.night, "key": self.key, "made": self.made})
        except OSError as exc:
            hint = MAKE_ROOM if exc.errno in FULL else "see its owner and rights"
            raise HostError(f"{self.path}: {exc.strerror or exc}", hint=hint) from exc

    def end(self) -> None:
        """The night is over."""
        self.path.unlink(missing_ok=True)


@contextmanager
def under_way(
    build_dir: Path, key: str, known: AbstractSet[str], events: Events, now: datetime, *, anew: bool = False
) -> Iterator[Journal]:
    """The night that was left unfinished, if it tries the same, else a new one; `known` are those of the history.

    Raises HostError where another process runs a night in this build folder.
    """
    path = build_dir / FOLDER / FILE
    with _alone(path.with_name(LOCK), build_dir):
        journal = None if anew else _left(path, key, events, now)
        if journal is None:
            while (night := now.isoformat(timespec="seconds")) in known:  # one that began in this very second
                now += timedelta(seconds=1)
            journal = Journal(path=path, night=night, key=key)
            journal.write()
        yield journal


def unfinished(build_dir: Path) -> str:
    """When the night began that is under way, or did not come to its end; empty where there is none."""
    try:
        return str(read_mapping(build_dir / FOLDER / FILE)["night"])
    except (OSError, ValueError, LookupError):
        return ""


def _left(path: Path, key: str, events: Events, now: datetime) -> Journal | None:
    """The night that did not come to its end; None where there is none that can go on."""
    try:
        data = read_mapping(path)
        night = str(data["night"])
        made = {str(name): str(sha256) for name, sha256 in as_mapping(data["made"]).items()}
        age = now - datetime.fromisoformat(night)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        events.emit(Note(text=f"nightly: {path} cannot be read: a new night begins"))
        return None
    if not timedelta() <= age < GOES_ON:
        events.emit(Note(text=f"nightly: the night of {night} did not come to its end; a new one begins"))
        return None
    if data.get("key") != key:
        why = "what is to be tried is another by now, and a new night begins"
        events.emit(Note(text=f"nightly: the night of {night} did not come to its end; {why}"))
        return None
    events.emit(Note(text=f"nightly: the night of {night} goes on where it was"))
    return Journal(path=path, night=night, key=key, made=made, goes_on=True)


@contextmanager
def _alone(lock: Path, build_dir: Path) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise HostError(f"{lock}: {exc.strerror or exc}", hint="see its owner and rights") from exc
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(number, 32, 0).decode("ascii", "replace").strip() or "another"
            raise HostError(
                f"process {holder} runs a night in {build_dir}", hint="wait for it, or take another --build-dir"
            ) from None
        os.ftruncate(number, 0)
        os.pwrite(number, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(number)
