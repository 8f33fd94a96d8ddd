"""What a night's host hands out to its workers, and takes from them, in a folder that all of them see.

FOLDER/NIGHT/images/SHA256     a copy, there whole or not at all
FOLDER/NIGHT/evidence/SHA256   what a boot left, as `metallize.night.fleet.evidence` packs it
FOLDER/NIGHT/awaits/KEY        while somebody waits for that boot
FOLDER/NIGHT/alive             a number that grows for as long as the night goes on

It is gone with the night; what a killed one left goes with the next. Whoever may write there is trusted with no more
than to keep things from arriving: images and evidence are compared with their digests by whoever takes them.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metallize.build.generator import sha256_of
from metallize.errors import FULL, MAKE_ROOM, HostError
from metallize.files.sparse import extents
from metallize.night.fleet.fetching import pour
from metallize.night.fleet.scratch import own_folder
from metallize.patience import FLEET_LOOK as LOOK_SECONDS

IMAGES, EVIDENCE, AWAITS, ALIVE = "images", "evidence", "awaits", "alive"
_CHUNK = 1 << 20
_NAME = re.compile(r"[0-9a-f]{1,64}(?:-[0-9a-f]{1,16})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAddress:
    """Where a worker finds it."""

    folder: str
    """As the night's host calls it; a worker may call it otherwise (`metallize worker --shared`)."""
    night: str
    """The night's own folder in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDepot:
    """While a night goes on."""

    address: SharedAddress
    folder: Path

    def offer(self, sha256: str, image: Callable[[], Path]) -> None:
        """Have an image there. Raises HostError."""
        place = self.folder / IMAGES / sha256
        if not place.exists():
            try:
                _bring(image(), place)
            except OSError as exc:
                hint = MAKE_ROOM if exc.errno in FULL else "see its owner and rights"
                raise HostError(f"the shared folder {self.folder.parent}: {exc.strerror or exc}", hint=hint) from exc

    def begin(self, key: str) -> None:
        """From now on somebody waits for that boot. Raises HostError."""
        try:
            (self.folder / AWAITS / key).touch()
        except OSError as exc:
            raise HostError(f"the shared folder {self.folder.parent}: {exc.strerror or exc}") from exc

    def forget(self, key: str) -> None:
        """Nobody does any more."""
        with suppress(OSError):
            (self.folder / AWAITS / key).unlink(missing_ok=True)

    def evidence(self, sha256: str) -> Path | None:
        """What has come whole, and is what it is called."""
        path = self.folder / EVIDENCE / sha256
        with suppress(OSError):
            if _NAME.fullmatch(sha256) and path.is_file() and not path.is_symlink() and sha256_of(path) == sha256:
                return path
        return None


@contextmanager
def sharing(folder: Path) -> Iterator[SharedDepot]:
    """Hand out in a folder while the body runs. Raises HostError where it cannot be written to."""
    with own_folder(folder) as own:
        try:
            for name in (IMAGES, EVIDENCE, AWAITS):
                (own / name).mkdir(mode=0o700)
            _beat(own, 0)
        except OSError as exc:
            raise HostError(f"{folder}: {exc.strerror or exc}", hint="see df -h, its owner and rights") from exc
        over = threading.Event()
        thread = threading.Thread(target=_live, args=(own, over), name="shared depot", daemon=True)
        thread.start()
        try:
            yield SharedDepot(address=SharedAddress(folder=str(folder.absolute()), night=own.name), folder=own)
        finally:
            over.set()
            thread.join()


def _live(folder: Path, over: threading.Event) -> None:
    number = 0
    while not over.wait(LOOK_SECONDS):
        number += 1
        with suppress(OSError):  # a worker that sees no new number for long takes the night for gone
            _beat(folder, number)


def _beat(folder: Path, number: int) -> None:
    part = folder / f".{ALIVE}"
    part.write_text(f"{number}\n", encoding="ascii")
    part.replace(folder / ALIVE)


@dataclass(slots=True, kw_only=True)
class FromShared:
    """The same of one night, as a worker sees it."""

    address: SharedAddress
    mounted: Path | None = None
    """Where the folder is here; None: where the night's host has it."""
    _number: str = ""

    @property
    def _night(self) -> Path:
        return (self.mounted or Path(self.address.folder)) / self.address.night

    def image(self, sha256: str, sink: BinaryIO, lost: Callable[[], str] = lambda: "") -> None:
        """Write an image's bytes, whatever they are: the cache looks at them. Raises HostError; OSError of the sink."""
        try:
            file = (self._night / IMAGES / sha256).open("rb", buffering=0)
        except OSError as exc:
            raise HostError(f"the image {sha256[:12]} is not in the shared folder: {exc}", hint=self._hint) from exc
        with file:
            pour(file.read, sink, lost, f"the image {sha256[:12]}")

    def evidence(self, sha256: str, path: Path) -> None:
        """Put it there. Raises HostError where it cannot be."""
        try:
            _bring(path, self._night / EVIDENCE / sha256)
        except OSError as exc:
            hint = MAKE_ROOM if exc.errno in FULL else self._hint
            raise HostError(f"the evidence did not come into the shared folder: {exc}", hint=hint) from exc

    def awaits(self, key: str) -> bool | None:
        """Whether somebody waits for that boot still; None where nobody gives a sign."""
        night = self._night
        try:
            number = (night / ALIVE).read_text(encoding="ascii")
        except (OSError, UnicodeError):
            return False if night.parent.is_dir() and not night.exists() else None
        if not (night / AWAITS / key).exists():
            return False
        if number == self._number:
            return None
        self._number = number
        return True

    @property
    def _hint(self) -> str:
        return (
            f"{self.mounted or self.address.folder} is to be the folder of the night's host: metallize worker --shared"
        )


def _bring(source: Path, place: Path) -> None:
    """Have a copy of a file there, whole or not at all: a link would let others write to what it is of.

    Raises OSError.
    """
    number, name = tempfile.mkstemp(prefix=".part-", dir=place.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as sink:
            _copy(source, sink)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, sink: BinaryIO) -> None:
    """With its holes. Raises OSError."""
    with source.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for extent in extents(file.fileno(), size):
            if not extent.hole:
                file.seek(extent.start)
                sink.seek(extent.start)
                left = extent.length
                while left:
                    data = file.read(min(left, _CHUNK))
                    if not data:
                        break
                    sink.write(data)
                    left -= len(data)
        sink.truncate(size)
