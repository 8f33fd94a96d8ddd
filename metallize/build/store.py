"""The build folder: images that appear whole or not at all, their manifests, and one builder at a time.

build/FILE                      the image, put there by one rename
build/FILE.manifest.json        what it is and what it was made from
build/FILE.files.mtree          which files are in it
build/.metallize/FILE.lock      held while FILE is being built
build/.metallize/FILE.work-*    a build under way; removed with it, or by the next one after a crash
build/.metallize/FILE.kept/     an image that was built but has not passed its verification

What was booted and what held is written down beside the image, in either place, by metallize.proof.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

from metallize.build.generator import FILES, sha256_of
from metallize.errors import MAKE_ROOM, HostError, told_if_left
from metallize.events import Events, Note
from metallize.files.json_file import read_mapping

Stamp: TypeAlias = "Mapping[str, int]"
MANIFEST = "manifest.json"
"""Beside an image that is not in its place."""


def stamp_of(info: os.stat_result) -> Stamp:
    """What changes with a file's content; of these the kernel alone sets the time of the last change of any kind."""
    return {
        "size": info.st_size,
        "mtime_ns": info.st_mtime_ns,
        "ctime_ns": info.st_ctime_ns,
        "inode": info.st_ino,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An image in the build folder (or kept aside) with its manifest."""

    path: Path
    manifest: Mapping[str, Any]
    stamp: Stamp | None = field(default=None, compare=False)
    """Of the file when its bytes were known to be those that the manifest tells of."""

    @property
    def sha256(self) -> str:
        return str(self.manifest["sha256"])

    @property
    def is_untouched(self) -> bool:
        """Whether these bytes are still there. They are read only where the file is another, or was changed somehow."""
        try:
            return stamp_of(self.path.stat()) == self.stamp or sha256_of(self.path) == self.sha256
        except OSError:
            return False

    def require_untouched(self) -> None:
        """Raises HostError where somebody wrote to the image, or put another in its place, while it was booted."""
        if not self.is_untouched:
            raise HostError(
                f"{self.path} is not the file any more whose boot began: nothing is known of what is there now",
                hint="keep others from writing to it, and start this again",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One image's places in a build folder."""

    build_dir: Path
    file: str

    @property
    def image(self) -> Path:
        return self.build_dir / self.file

    @property
    def manifest(self) -> Path:
        return self.build_dir / f"{self.file}.manifest.json"

    @property
    def files(self) -> Path:
        """Which files the image's root filesystem has: as mtree(5), where its generator has told."""
        return self.build_dir / f"{self.file}.{FILES}"

    @property
    def _private(self) -> Path:
        return self.build_dir / ".metallize"

    @property
    def _kept(self) -> Path:
        return self._private / f"{self.file}.kept"

    @property
    def _aside(self) -> Path:
        return self._kept / MANIFEST

    @contextmanager
    def locked(self, events: Events, *, abandon: Callable[[Sequence[str]], None] | None = None) -> Iterator[None]:
        """Wait until nobody else builds this image, and clear away what a killed build left.

        `abandon` is given the names of work folders that a killed build left, before they are removed: a container
        that is labelled with one may still be writing there.
        """
        with self._taken(fcntl.LOCK_EX, events, str(os.getpid())):
            stale = sorted(self._private.glob(f"{glob.escape(self.file)}.work-*"))
            if stale and abandon is not None:
                abandon([folder.name for folder in stale])
            for folder in stale:
                shutil.rmtree(folder, ignore_errors=True)
            paper = re.compile(rf"\.{re.escape(self.file)}\.[a-z]+\.json\..+")
            for part in self.build_dir.iterdir():
                if paper.fullmatch(part.name):
                    part.unlink(missing_ok=True)
            yield

    @contextmanager
    def shared(self, events: Events) -> Iterator[None]:
        """Wait until nobody builds this image, and let nobody: others may boot it as well, side by side."""
        with self._taken(fcntl.LOCK_SH, events, ""):
            yield

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Wait until nobody else writes down what the image has shown; for whoever has it `shared`, and for moments."""
        with (self._private / f"{self.file}.recording.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _taken(self, how: int, events: Events, holder: str) -> Iterator[None]:
        """Hold the image's lock, after all who came before: so nobody waits for ever for those who boot it."""
        self._make(self._private)
        path = self._private / f"{self.file}.lock"
        with path.open("a+") as lock:
            with path.with_suffix(".turn.lock").open("a") as turn:
                if not _at_once((turn, fcntl.LOCK_EX), (lock, how)):
                    building = path.read_text().strip()
                    who = (
                        f"process {building} is building {self.file}" if building else f"{self.file} is being verified"
                    )
                    events.emit(Note(text=f"{who}; waiting for it"))
                    fcntl.flock(turn, fcntl.LOCK_EX)
                    fcntl.flock(lock, how)
            try:
                lock.truncate(0)
                os.write(lock.fileno(), holder.encode())  # a buffer would be written once more when it is closed
            except OSError as exc:
                raise HostError(f"{path} cannot be written: {exc.strerror}", hint=MAKE_ROOM) from exc
            yield

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise HostError(
                f"the build folder {self.build_dir} cannot be made: {exc.strerror}",
                hint="choose another with --build-dir",
            ) from exc

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder for one build, on the same filesystem as the image's place; removed at the end."""
        self._make(self._private)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.file}.work-", dir=self._private))
        with told_if_left(lambda: [str(folder)] if folder.exists() else []):
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def linked(self, stored: Stored, folder: Path) -> Stored:
        """Have a folder hold an image of this store as well, by a hard link, with its manifest. Raises OSError."""
        if not stored.is_untouched:
            raise OSError(errno.ESTALE, f"{stored.path} is not the file any more that its manifest tells of")
        link = folder / self.file
        link.hardlink_to(stored.path)
        # Linking is a change of the file as the kernel sees it: its manifest is told, or its bytes were read each time.
        _stamped(stored.manifest, stored.path, self.manifest if stored.path == self.image else self._aside)
        return Stored(path=link, manifest=stored.manifest, stamp=_stamped(stored.manifest, link, folder / MANIFEST))

    def kept(self) -> Stored | None:
        """The image that was put aside, whatever it was made from, if it is the one its manifest tells of."""
        return _load(self._kept / self.file, self._aside)

    def any(self) -> Stored | None:
        """The same for the one in the build folder: whether it is current, `currency` says."""
        return _load(self.image, self.manifest)

    def papers(self, sha256: str) -> Mapping[str, Any]:
        """The manifest that tells of these bytes, published or kept aside; empty where there is none."""
        for path in (self.manifest, self._aside):
            try:
                content = read_mapping(path)
            except (OSError, ValueError):
                continue
            if content.get("sha256") == sha256:
                return content
        return {}

    def publish(self, image: Path, manifest: Mapping[str, Any]) -> Stored:
        """Put an image in the build folder: one rename, then its manifest. What is kept aside goes."""
        if image != self.image:
            image.chmod(0o644)
            image.replace(self.image)
            _move(image.with_name(FILES), self.files)
        stamp = _stamped(manifest, self.image, self.manifest)
        shutil.rmtree(self._kept, ignore_errors=True)
        return Stored(path=self.image, manifest=manifest, stamp=stamp)

    def put_aside(self, image: Path, manifest: Mapping[str, Any]) -> Stored:
        """Keep an image that did not pass, out of sight: changed assertions need no new build."""
        if image.parent != self._kept:
            shutil.rmtree(self._kept, ignore_errors=True)
            self._make(self._kept)
            image.replace(self._kept / self.file)
            _move(image.with_name(self.files.name if image == self.image else FILES), self._kept / FILES)
        kept = self._kept / self.file
        stamp = _stamped(manifest, kept, self._aside)
        return Stored(path=kept, manifest=manifest, stamp=stamp)


def _at_once(*wanted: tuple[IO[str], int]) -> bool:
    """Take locks (flock(2)) as long as none is held by others; whether all were taken."""
    try:
        for file, how in wanted:
            fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _move(file: Path, target: Path) -> None:
    """What came with an image goes along with it; what came with the one before does not stay."""
    if file.is_file():
        file.chmod(0o644)
        file.replace(target)
    else:
        target.unlink(missing_ok=True)


def _stamped(manifest: Mapping[str, Any], image: Path, place: Path) -> Stamp:
    """Write an image's manifest, with the file that it tells of."""
    stamp = stamp_of(image.stat())
    write_json(place, {**manifest, "file": stamp})
    return stamp


def sha256_by(paper: Path, image: Path) -> str:
    """An image's digest: as a manifest tells that tells of this very file, or read. Raises OSError."""
    try:
        told = read_mapping(paper)
        if told["file"] == stamp_of(image.stat()):
            return str(told["sha256"])
    except (OSError, ValueError, KeyError):
        pass
    return sha256_of(image)


def stored_in(folder: Path) -> Stored | None:
    """The image that a folder holds (`Store.linked`), if it is the one that its manifest tells of."""
    try:
        images = [path for path in folder.iterdir() if path.name != MANIFEST and not path.name.startswith(".")]
    except OSError:
        return None
    return _load(images[0], folder / MANIFEST) if len(images) == 1 else None


def _load(image: Path, manifest: Path) -> Stored | None:
    try:
        content = read_mapping(manifest)
        info = image.stat()
        if content["file"] != stamp_of(info) and sha256_of(image) != content["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Stored(path=image, manifest=content, stamp=stamp_of(info))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.write("\n")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as exc:
        Path(name).unlink(missing_ok=True)
        if isinstance(exc, OSError):
            exc.filename = exc.filename or str(path)  # a write that fails, as on a full disk, knows none
        raise
