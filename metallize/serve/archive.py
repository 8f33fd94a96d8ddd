"""The regular files of a tar archive that anybody may have made, and nothing else that stands in it.

Links, devices, pipes and names that lead elsewhere are never followed, made or opened: they are only told of. Written
with Python's own modules alone, because a run's repro.sh carries this file and unpacks with it.
"""

from __future__ import annotations

import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_MEMBERS = 20_000
MAX_DEPTH = 16
MAX_NAME_BYTES = 255
"""Of one part of a name: what Linux's file systems take."""
_MAX_HEADER_BYTES = 1 << 20
"""What Python reads at once of an archive are headers; those of a real one are a few hundred bytes."""
_PIECE_BYTES = 1 << 20


class ArchiveError(Exception):
    """What is wrong with an archive, in words."""


@dataclass(frozen=True)
class Member:
    """Where a file's bytes stand in the archive."""

    name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Contents:
    """The files, each name once, and the names of what is left out."""

    members: tuple[Member, ...]
    left_out: tuple[str, ...]
    end: int
    """Where the last member ends, whatever it is."""


class _Headers:
    """The archive's file for tarfile, which would otherwise take as much memory as a header asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _MAX_HEADER_BYTES:
            raise ArchiveError(f"a header of {count} bytes")
        return self._file.read(count)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()


def contents(file: BinaryIO) -> Contents:
    """The files of an archive. Raises ArchiveError for whatever is none, is damaged, or goes beyond all measure."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    members: dict[str, Member] = {}
    left_out: list[str] = []
    last = 0
    try:
        with tarfile.open(fileobj=_Headers(file), mode="r:") as archive:  # type: ignore[call-overload]  # it reads, seeks
            for number, each in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise ArchiveError(f"it has more than {MAX_MEMBERS} members")
                if each.size < 0 or (each.isreg() and not each.issparse() and each.offset_data + each.size > end):
                    raise ArchiveError(f"{shown(each.name)} ends beyond the archive's end")
                name = plain_name(each.name)
                if name is not None and each.isreg() and not each.issparse():
                    members[name] = Member(name, each.offset_data, each.size)
                elif not each.isdir():
                    left_out.append(shown(each.name))
            last = archive.offset
    except (tarfile.TarError, ValueError, LookupError, OverflowError, OSError, EOFError, RecursionError) as exc:
        raise ArchiveError(str(exc) or type(exc).__name__) from exc
    for name in members:
        folders = name.split("/")[:-1]
        both = next((up for n in range(len(folders)) if (up := "/".join(folders[: n + 1])) in members), None)
        if both is not None:
            raise ArchiveError(f"{both} is a file and a folder")
    return Contents(tuple(members.values()), tuple(left_out), last)


def plain_name(name: str) -> str | None:
    """The name below the archive's root; None where it leads out of it, or is none that a firmware could ask for."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    fine = parts and not name.startswith("/") and ".." not in parts and len(parts) <= MAX_DEPTH
    if not fine or not name.isprintable() or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return None
    return "/".join(parts)


def shown(name: str) -> str:
    """A name for people: nothing in it acts on a terminal, and it has an end."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= MAX_NAME_BYTES else f"{text[:MAX_NAME_BYTES]}..."


def unpack(file: BinaryIO, folder: Path) -> None:
    """Write the files into an empty folder, as new ones that belong to us and that nobody can run (mode 0644).

    Raises ArchiveError as `contents` does, OSError where the folder cannot take them.
    """
    for member in contents(file).members:
        target = folder / member.name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(number, "wb", buffering=0) as copy:
            done = 0
            while done < member.size_bytes:
                piece = os.pread(file.fileno(), min(_PIECE_BYTES, member.size_bytes - done), member.offset + done)
                if not piece:
                    raise ArchiveError("it has become shorter while it was read")
                done += copy.write(piece)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as source:
        unpack(source, Path(sys.argv[2]))
