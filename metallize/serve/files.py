"""What is handed out: the files of an archive, where they stand in it, or those of a folder.

The names are taken once, when it is opened, and nothing else is ever looked up: no request can lead out of it. An
archive stays open, so that the bytes are those that were verified although a new build takes its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from metallize.errors import UsageError
from metallize.files.image_format import format_of
from metallize.model.profile import ImageFormat
from metallize.serve.archive import ArchiveError, contents
from metallize.serve.pointers import FIRST_FILES, pointers

BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file that is open: some bytes of `file`, or `data`."""

    size_bytes: int
    tag: str = ""
    """Another content has another tag."""
    file: BinaryIO | None = None
    offset: int = 0
    data: bytes = b""
    kind: str = ""
    """Its media type; empty where that is as is usual: text of `data`, and bytes of a file."""
    refresh_seconds: int = 0
    """After so long a browser is to ask again; 0: never by itself."""

    def read(self, start: int, count: int) -> bytes:
        """Bytes from `start` on, fewer at the end."""
        count = max(0, min(count, self.size_bytes - start))
        if self.file is None:
            return self.data[start : start + count]
        return os.pread(self.file.fileno(), count, self.offset + start)


class Offer(Protocol):
    """Something that is handed out by names."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that whoever asks for none is told."""
        ...

    @property
    def index(self) -> str:
        """The name of what whoever asks for none gets instead; empty where he is told the names."""
        ...

    def content(self, name: str, url: str) -> AbstractContextManager[Content | None]:
        """What a name stands for to those who reach us at `url`; None where it stands for nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    path: Path | None = None
    """None: in the archive."""
    offset: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """All that can be asked for, by name."""

    source: Path
    places: Mapping[str, _Place]
    left_out: tuple[str, ...] = ()
    """Names that lead out of the folder, or are no files."""
    archive: BinaryIO | None = field(default=None, repr=False)
    index: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.places)

    @contextmanager
    def content(self, name: str, url: str) -> Iterator[Content | None]:
        """What a name stands for to those who reach us at `url`; None where it stands for nothing."""
        name = "/".join(part for part in name.split("/") if part not in {"", "."})
        place = self.places.get(name)
        rendered = pointers(url).get(name)
        if place is None:
            yield None
        elif rendered is not None:
            yield Content(size_bytes=len(rendered), data=rendered)
        elif place.path is None and self.archive is not None:
            yield Content(file=self.archive, offset=place.offset, size_bytes=place.size_bytes, tag=f"{place.offset:x}")
        else:
            with ExitStack() as stack:
                try:
                    file = stack.enter_context((place.path or self.source).open("rb", buffering=0))
                except OSError:  # it is gone since
                    yield None
                    return
                state = os.fstat(file.fileno())
                tag = f"{state.st_ino:x}-{state.st_mtime_ns:x}"
                yield Content(file=file, size_bytes=state.st_size, tag=tag)


@contextmanager
def opened(source: Path, *, bootable: bool = True) -> Iterator[Files]:
    """The files of an archive or of a folder. Raises UsageError where they are not what a machine boots from."""
    with ExitStack() as stack:
        if source.is_dir():
            files = _in_folder(source)
        else:
            if format_of(source) is not ImageFormat.TAR:
                raise UsageError(
                    f"{source} is {format_of(source)}, and no network boot archive",
                    hint="an image of generator `netboot` is one: metallize build debian13-netboot --verify",
                )
            files = _in_archive(source, stack.enter_context(source.open("rb", buffering=0)))
        if bootable and not any(name in files.places for name in FIRST_FILES):
            raise UsageError(
                f"{source} holds nothing that firmware asks for first: {', '.join(FIRST_FILES)}",
                hint="an image of generator `netboot` does: metallize build debian13-netboot --verify",
            )
        yield files


@contextmanager
def opened_parts(source: Path, parts: Mapping[str, tuple[int, int]], beside: Mapping[str, Path]) -> Iterator[Files]:
    """Pieces of one file by their names, where they begin in it and how long they are, and other files beside them."""
    with source.open("rb", buffering=0) as file:
        places = {name: _Place(offset=offset, size_bytes=size) for name, (offset, size) in parts.items()}
        places |= {name: _Place(path=path) for name, path in beside.items()}
        yield Files(source=source, places=places, archive=file)


def _in_archive(source: Path, file: BinaryIO) -> Files:
    try:
        found = contents(file)
    except ArchiveError as exc:
        raise UsageError(
            f"{source} is damaged or cut short: {exc}", hint="compare its checksum with its maker's"
        ) from exc
    # after the last file, which fills its block, an archive ends with blocks of zeros (POSIX.1, pax)
    if os.pread(file.fileno(), BLOCK_BYTES, found.end) != bytes(BLOCK_BYTES):
        raise UsageError(f"{source} is cut short", hint="compare its checksum with its maker's")
    places = {each.name: _Place(offset=each.offset, size_bytes=each.size_bytes) for each in found.members}
    return Files(source=source, places=places, left_out=found.left_out, archive=file)


def _in_folder(source: Path) -> Files:
    places, left_out = {}, []
    inside = source.resolve()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.resolve().is_relative_to(inside) and path.is_file():
            places[name] = _Place(path=path.resolve())
        elif not path.is_dir():
            left_out.append(name)
    return Files(source=source, places=places, left_out=tuple(left_out))
