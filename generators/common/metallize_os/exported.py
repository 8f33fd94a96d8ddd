"""What an export of a container's filesystem loses of the rootfs, and what it puts in: both made good.

`docker export` keeps no extended attribute but file capabilities, and so no ACL; and where a container's own name,
hosts, resolver and mtab would be mounted it has files of the engine's (moby, pkg/archive and daemon/initlayer). The
seal, which still sees the real ones, writes them down (../seal/lost).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from metallize_os import tarstream
from metallize_os.tarstream import Entry, TarError

FOLDER = ".metallize-lost"
ATTRIBUTES, REPLACED = f"{FOLDER}/attributes", f"{FOLDER}/replaced.tar"
"""What getfattr(1) says of all files that have any attribute; the rootfs's own files of `PLACES`, where it has them."""
PLACES = frozenset({"etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"})
"""Where the engine puts a file of its own."""

Members = Iterable[tuple[Entry, BinaryIO]]


def made_good(members: Members) -> Iterator[tuple[Entry, BinaryIO]]:
    """The members of an export as they were in the rootfs; without the seal's word, as they come.

    Raises TarError where that word comes behind what it tells of: archives are sorted, and its name comes early.
    """
    told: dict[str, dict[str, bytes]] = {}
    own: dict[str, tuple[Entry, bytes]] = {}
    passed: set[str] | None = set()
    for entry, stream in members:
        if entry.name == FOLDER or entry.name.startswith(f"{FOLDER}/"):
            content = tarstream.read_data(stream, entry)
            if entry.name == ATTRIBUTES:
                told = attributes(content)
                _require_sorted(passed or set(), told)
                passed = None
            elif entry.name == REPLACED:
                own = {each.name: (each, tarstream.read_data(data, each)) for each, data in _members(content)}
        elif passed is None and entry.name in PLACES:
            tarstream.copy_data(stream, entry)
            if entry.name in own:
                mine, content = own[entry.name]
                yield _with(mine, told), io.BytesIO(content.ljust(mine.padded_size, b"\0"))
        else:
            if passed is not None:
                passed.add(entry.name)
            yield _with(entry, told), stream


def attributes(text: bytes) -> dict[str, dict[str, bytes]]:
    """By path and name, from the dump of getfattr(1) with values in hexadecimal digits. Raises TarError."""
    found: dict[str, dict[str, bytes]] = {}
    path = ""
    for line in text.splitlines():
        if line.startswith(b"# file: "):
            path = _unquoted(line.removeprefix(b"# file: ").removeprefix(b"./"))
        elif line:
            name, equals, value = line.partition(b"=")
            try:
                content = bytes.fromhex(value.removeprefix(b"0x").decode("ascii")) if equals else b""
            except ValueError as exc:
                raise TarError(f"the attributes of {path} cannot be read: {line!r}") from exc
            found.setdefault(path, {})[_unquoted(name)] = content
    return found


def _unquoted(text: bytes) -> str:
    """A name as getfattr(1) writes it: a backslash stands before three octal digits."""
    plain = re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), text)
    return plain.decode("utf-8", "surrogateescape")


def _require_sorted(passed: set[str], told: dict[str, dict[str, bytes]]) -> None:
    late = sorted(passed & (told.keys() | PLACES))
    if late:
        raise TarError(f"/{late[0]} came before the word of its attributes: the archive is not sorted")


def _members(archive: bytes) -> Members:
    return tarstream.read_entries(io.BytesIO(archive))


def _with(entry: Entry, told: dict[str, dict[str, bytes]]) -> Entry:
    """The member with the attributes that it had; a hard link has those of what it leads to."""
    # The engine writes the kind of the file into the mode too (st_mode), for which mke2fs makes a hard link a file.
    entry.set_mode(entry.mode & 0o7777)
    own = told.get(entry.name)
    if own and entry.kind != tarstream.HARD_LINK:
        entry.add_records({f"SCHILY.xattr.{name}": value for name, value in own.items()})
    return entry
