"""A folder: the root of any static web server.

DEST/CHANNEL                                      a symbolic link to a generation, moved by one rename
DEST/.metallize/channels/CHANNEL/NUMBER/          a generation: hard links to files, and pointers of its own
DEST/.metallize/staging/CHANNEL/                  files that no client sees; kept for whoever goes on
DEST/.metallize/lock                              held by whoever changes anything

A path is walked by the kernel anew for each file, so the generation before stays until the next switch.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metallize.errors import FULL, HostError
from metallize.events import Events, Note
from metallize.files.synced import sync_folder
from metallize.release.destinations import Destination, Fill

SCHEMES = ("", "file")
_PRIVATE = ".metallize"
_PART = ".part"
_ROOM = "make room: see df -h and the quotas; what is written already is kept for the next attempt"


def open_destination(place: str) -> Destination:
    """The folder of this path."""
    return Folder(root=Path(place.removeprefix("file://")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The whole destination."""

    root: Path

    @property
    def place(self) -> str:
        return str(self.root)

    def channels(self) -> tuple[str, ...]:
        with _told(self.root):
            if not self.root.is_dir():
                return ()
            return tuple(sorted(each.name for each in self.root.iterdir() if self._is_channel(each)))

    def _is_channel(self, path: Path) -> bool:
        return path.is_symlink() and path.readlink().parts[:2] == (_PRIVATE, "channels")

    def pointer(self, channel: str, name: str) -> bytes | None:
        with _told(self.root / channel):
            try:
                return (self.root / channel / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextmanager
    def session(self, channel: str, events: Events) -> Iterator[FolderSession]:
        with _told(self.root):
            (self.root / _PRIVATE).mkdir(parents=True, exist_ok=True)
            path = self.root / channel
            if path.exists() and not self._is_channel(path):
                raise HostError(
                    f"{path} is there already, and is no channel that metallize made",
                    hint="choose another --channel, or move it away",
                )
            lock = os.open(self.root / _PRIVATE / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _hold(lock, events, self.root)
            session = FolderSession(root=self.root, channel=channel)
            with _told(self.root):
                session.begin()
            yield session
        finally:
            os.close(lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSession:
    """What the holder of the lock does."""

    root: Path
    channel: str

    @property
    def _link(self) -> Path:
        return self.root / self.channel

    @property
    def _generations(self) -> Path:
        return self.root / _PRIVATE / "channels" / self.channel

    @property
    def _staging(self) -> Path:
        return self.root / _PRIVATE / "staging" / self.channel

    def begin(self) -> None:
        """Clear away what a killed session has left half written."""
        self._staging.mkdir(parents=True, exist_ok=True)
        self._generations.mkdir(parents=True, exist_ok=True)
        for folder in (self._generations, self._generations.parent, self._generations.parent.parent):
            with suppress(PermissionError):  # another user's, who has seen to it; a web server must come through
                folder.chmod(0o755)
        for part in self._staging.glob(f"*{_PART}"):
            part.unlink()
        for part in self._generations.glob(f"*{_PART}"):
            _removed(part)

    def pointer(self, name: str) -> bytes | None:
        return Folder(root=self.root).pointer(self.channel, name)

    def whole(self, name: str) -> bool:
        return self._at(name) is not None

    def published(self, name: str) -> bool:
        return (self._link / name).is_file()

    def _at(self, name: str) -> Path | None:
        return next((path for path in (self._link / name, self._staging / name) if path.is_file()), None)

    def put(self, name: str, fill: Fill, about_bytes: int = 0) -> None:  # noqa: ARG002 - no matter to a folder
        part = self._staging / f"{name}{_PART}"
        with _told(part):
            try:
                with part.open("wb") as file:
                    fill(file)
                    file.flush()
                    os.fchmod(file.fileno(), 0o644)
                    os.fsync(file.fileno())
                part.replace(self._staging / name)
            except BaseException:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise

    def take(self, name: str, channel: str) -> None:
        with _told(self._staging / name):
            part = self._staging / f"{name}{_PART}"
            part.unlink(missing_ok=True)
            _hard_link(self.root / channel / name, part)
            part.replace(self._staging / name)

    def discard(self, name: str) -> None:
        with _told(self._staging / name):
            (self._staging / name).unlink(missing_ok=True)

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        path = self._at(name) or self._staging / name
        with _told(path), path.open("rb") as file:
            with suppress(OSError):  # from the disk, and not from what was just written to memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            yield file

    def switch(self, names: Collection[str], pointers: Mapping[str, bytes]) -> None:
        with _told(self._link):
            numbers = [int(each.name) for each in self._generations.iterdir() if each.name.isdecimal()]
            number = max(numbers, default=0) + 1
            part, generation = self._generations / f"{number}{_PART}", self._generations / str(number)
            if part.exists():
                _removed(part)
            part.mkdir()
            for name in sorted(names):
                _hard_link(self._at(name) or self._staging / name, part / name)
            for name, content in pointers.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)  # a pointer may stand in a folder: streams/v1
                _write(part / name, content)
            inside = {folder for name in pointers for folder in (part / name).parents if folder.is_relative_to(part)}
            for folder in sorted(inside | {part}, reverse=True):
                folder.chmod(0o755)
                sync_folder(folder)
            part.replace(generation)
            sync_folder(self._generations)
            link = self._generations / f"link{_PART}"
            link.unlink(missing_ok=True)
            link.symlink_to(generation.relative_to(self.root))
            before = self._link.resolve() if self._link.is_symlink() else None
            link.replace(self._link)
            sync_folder(self.root)
            self._clear(names, {generation, before})

    def _clear(self, names: Collection[str], stay: Collection[Path | None]) -> None:
        """Files that are published need no second name; generations that no client can be reading any more go."""
        for name in names:
            (self._staging / name).unlink(missing_ok=True)
        kept = {path.resolve() for path in stay if path is not None}
        for each in self._generations.iterdir():
            if each.resolve() not in kept:
                _removed(each)


def _hold(lock: int, events: Events, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        events.emit(Note(text=f"somebody else is publishing to {root}; waiting for them"))
        fcntl.flock(lock, fcntl.LOCK_EX)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())


def _hard_link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise HostError(
                f"{target.parent} is on a filesystem that makes no hard links",
                hint="publish to a folder on another one, and copy it from there (rsync --archive --hard-links)",
            ) from exc
        raise


def _removed(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says of a path, as an error that names it."""
    try:
        yield
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        where = exc.filename if isinstance(exc.filename, str) else path
        hint = _ROOM if exc.errno in FULL else "see the rights, or choose another destination with --to"
        raise HostError(f"{where}: {exc.strerror or exc}", hint=hint) from exc
