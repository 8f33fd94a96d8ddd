"""What differs between two root filesystems: file by file, and in what of each file."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."


class Aspect(StrEnum):
    """In what two files of one name differ."""

    ONLY_FIRST = "only in the first"
    ONLY_SECOND = "only in the second"
    KIND = "kind"
    CONTENTS = "contents"
    LINK = "link target"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "xattrs"
    PLACE = "place in the archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One file that is not the same in both, and in what."""

    path: str
    """From the root, with a slash before it."""
    aspects: tuple[Aspect, ...]

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(self.aspects)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """All that an archive says of one file."""

    kind: str
    contents: str
    """A digest of a regular file's bytes, a device's numbers; else empty."""
    link: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    xattrs: tuple[tuple[str, str], ...]


_ASPECTS = (
    (Aspect.KIND, "kind"),
    (Aspect.CONTENTS, "contents"),
    (Aspect.LINK, "link"),
    (Aspect.MODE, "mode"),
    (Aspect.OWNER, "owner"),
    (Aspect.MTIME, "mtime"),
    (Aspect.XATTRS, "xattrs"),
)


def differences(first: Path, second: Path) -> tuple[Difference, ...]:
    """Compare two tar archives of root filesystems; in the order of paths. Raises OSError, tarfile.TarError."""
    return tuple(_compared(_members(first), _members(second)))


def _compared(first: dict[str, Member], second: dict[str, Member]) -> Iterator[Difference]:
    found = False
    for path in sorted(first.keys() | second.keys()):
        aspects = _aspects(first.get(path), second.get(path))
        if aspects:
            found = True
            yield Difference(path=path, aspects=aspects)
    if not found:
        # The order of names decides where a filesystem puts each file.
        moved = next((a for a, b in zip(first, second, strict=True) if a != b), None)
        if moved is not None:
            yield Difference(path=moved, aspects=(Aspect.PLACE,))


def _aspects(first: Member | None, second: Member | None) -> tuple[Aspect, ...]:
    if first is None:
        return (Aspect.ONLY_SECOND,)
    if second is None:
        return (Aspect.ONLY_FIRST,)
    return tuple(aspect for aspect, name in _ASPECTS if getattr(first, name) != getattr(second, name))


def _members(archive: Path) -> dict[str, Member]:
    """Every member by its path; of a name that stands there twice, the last, which is the one that stays."""
    found: dict[str, Member] = {}
    with tarfile.open(archive, mode="r|", errors="surrogateescape") as tar:
        for info in tar:
            path = "/" + info.name.removeprefix("./").strip("/").removeprefix(".")
            found.pop(path, None)
            found[path] = Member(
                kind=_kind(info),
                contents=_contents(tar.extractfile(info) if info.isreg() else None, info),
                link=info.linkname,
                mode=info.mode,
                owner=(info.uid, info.gid),
                mtime=info.mtime,
                xattrs=tuple(sorted((k, v) for k, v in info.pax_headers.items() if k.startswith(_XATTR))),
            )
    return found


def _kind(info: tarfile.TarInfo) -> str:
    return "0" if info.isreg() else info.type.decode("ascii", "replace")


def _contents(file: IO[bytes] | None, info: tarfile.TarInfo) -> str:
    if file is None:
        return f"{info.devmajor}:{info.devminor}" if info.ischr() or info.isblk() else ""
    digest = hashlib.sha256()
    while part := file.read(_CHUNK):
        digest.update(part)
    return digest.hexdigest()


def first_byte(first: Path, second: Path) -> int | None:
    """The offset of the first byte in which two files differ, or where the shorter one ends; None where none does."""
    with first.open("rb") as left, second.open("rb") as right:
        at = 0
        while True:
            a, b = left.read(_CHUNK), right.read(_CHUNK)
            if a != b:
                return at + next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            if not a:
                return None
            at += len(a)


def told(found: Sequence[Difference], *, most: int = 50) -> list[str]:
    """A line for each file that differs; of very many, the first ones and how many more there are."""
    lines = [str(each) for each in found[:most]]
    return lines if len(found) <= most else [*lines, f"and {len(found) - most} more files"]
