"""A run folder as one file, and back: what a boot left on a worker, whole or not at all.

Nothing is taken out of it but plain files and folders, below its own folder and within bounds, whoever packed it.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from metallize.errors import HostError

MOST_FILES = 10_000
MOST_BYTES = 16 << 30
_CHUNK = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def pack(folder: Path, path: Path) -> None:
    """Write all plain files of a folder into one. Raises OSError."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file() and not each.is_symlink():
                archive.add(each, each.relative_to(folder).as_posix(), recursive=False)


def unpack(path: Path, folder: Path) -> None:
    """Write the files of one into a folder that is there. Raises HostError where it is not what `pack` writes."""
    left = MOST_BYTES
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            for number, (member, place) in enumerate(_members(archive), start=1):
                left -= member.size
                if number > MOST_FILES or left < 0:
                    raise HostError("the evidence is more than a boot can leave")
                target = folder / place
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                source = archive.extractfile(member)
                handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
                with os.fdopen(handle, "wb") as file:
                    if source is None:
                        raise HostError(f"the evidence has no content for {place}")
                    shutil.copyfileobj(source, file, _CHUNK)
            while packed.read(_CHUNK):  # to its very end, where its checksum is
                pass
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, FileExistsError, ValueError) as exc:
        raise HostError(f"the evidence is none: {exc}") from exc


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    for member in archive:
        place = PurePosixPath(member.name)
        if not member.isreg() or place.is_absolute() or ".." in place.parts or _CONTROL.search(member.name):
            raise HostError(f"the evidence has what no boot leaves: {member.name[:80]!r}")
        yield member, place
