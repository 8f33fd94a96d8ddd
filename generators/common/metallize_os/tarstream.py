"""A tar archive as a stream of entries that pass through unchanged unless somebody changes them.

The bytes of an entry (header blocks, PAX records, data) are copied as they came, so owners, modes, setuid bits,
hard links, extended attributes and file capabilities survive whatever their encoding. Format: POSIX.1-2001
(pax), section "pax Interchange Format", and GNU tar's long names.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
CHUNK = 1 << 20

FILE_TYPES = frozenset({b"0", b"\0", b"7"})
HARD_LINK, SYMLINK, DIRECTORY = b"1", b"2", b"5"


class TarError(Exception):
    """The stream is not the tar archive it should be, or ended in the middle."""


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU base-256
        return int.from_bytes(field, "big") & ~(0x80 << (8 * (len(field) - 1)))
    text = field.strip(b" \0")
    return int(text, 8) if text else 0


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(min(size, CHUNK))
        if not part:
            raise TarError("the rootfs stream ended in the middle: its producer failed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _pax_records(payload: bytes) -> dict[str, bytes]:
    records = {}
    while payload.strip(b"\0"):
        length, _, rest = payload.partition(b" ")
        record = rest[: int(length) - len(length) - 1]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value
        payload = payload[int(length) :]
    return records


@dataclass(slots=True)
class Entry:
    """One member: its name without a leading `./` or trailing `/`, and the blocks it came in."""

    name: str
    kind: bytes
    size: int
    mode: int
    mtime: int
    link: str
    raw: bytes
    """All header blocks, extensions first, the member's own header last."""
    pax: dict[str, bytes]

    @property
    def is_directory(self) -> bool:
        return self.kind == DIRECTORY

    @property
    def padded_size(self) -> int:
        return -(-self.size // BLOCK) * BLOCK

    def clamp_mtime(self, latest: int) -> None:
        """Set the time of last change to `latest` (seconds since 1970) where it is later."""
        if self.mtime <= latest:
            return
        if "mtime" in self.pax:
            raise TarError(f"{self.name}: a PAX time later than {latest} cannot be clamped")
        header = bytearray(self.raw[-BLOCK:])
        header[136:148] = b"%011o\0" % latest
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        self.raw = self.raw[:-BLOCK] + bytes(header)
        self.mtime = latest


def read_entries(stream: BinaryIO) -> Iterator[tuple[Entry, BinaryIO]]:
    """Yield each entry with the stream standing at its data, which the consumer must read or skip whole."""
    raw, pax, long_name, long_link = b"", {}, "", ""
    while True:
        header = _read_exactly(stream, BLOCK)
        if not header.strip(b"\0"):
            _drain(stream)
            return
        kind = header[156:157]
        size = _number(header[124:136])
        raw += header
        if kind in (b"x", b"g", b"L", b"K"):
            payload = _read_exactly(stream, -(-size // BLOCK) * BLOCK)
            raw += payload
            if kind == b"x":
                pax = _pax_records(payload[:size])
            elif kind == b"L":
                long_name = _text(payload[:size])
            elif kind == b"K":
                long_link = _text(payload[:size])
            continue
        if kind == b"S" or any(key.startswith("GNU.sparse") for key in pax):
            raise TarError("sparse members are not supported")
        prefix = _text(header[345:500]) if header[257:262] == b"ustar" and header[257:265] != b"ustar  \0" else ""
        name = _text(header[0:100])
        name = f"{prefix}/{name}" if prefix else name
        if "path" in pax:
            name = pax["path"].decode("utf-8", "surrogateescape")
        link = long_link or _text(header[157:257])
        if "linkpath" in pax:
            link = pax["linkpath"].decode("utf-8", "surrogateescape")
        if "size" in pax:
            size = int(pax["size"])
        entry = Entry(
            name=(long_name or name).removeprefix("./").strip("/"),
            kind=kind,
            size=size if kind in FILE_TYPES else 0,
            mode=_number(header[100:108]),
            mtime=_number(header[136:148]),
            link=link,
            raw=raw,
            pax=pax,
        )
        raw, pax, long_name, long_link = b"", {}, "", ""
        yield entry, stream


def _drain(stream: BinaryIO) -> None:
    while stream.read(CHUNK):
        pass


def copy_data(stream: BinaryIO, entry: Entry, *sinks: BinaryIO) -> None:
    """Copy the entry's data, with its padding, to every sink; with none, skip it."""
    left = entry.padded_size
    while left:
        part = stream.read(min(left, CHUNK))
        if not part:
            raise TarError(f"{entry.name}: the rootfs stream ended in the middle: its producer failed")
        left -= len(part)
        for sink in sinks:
            sink.write(part)


def read_data(stream: BinaryIO, entry: Entry) -> bytes:
    """The entry's data, for a member small enough to hold in memory."""
    return _read_exactly(stream, entry.padded_size)[: entry.size]


def new_entry(
    name: str,
    *,
    mtime: int,
    data: bytes | None = None,
    symlink: str | None = None,
    mode: int | None = None,
) -> bytes:
    """The blocks of a new member owned by root: a file with `data`, a symbolic link, or else a directory."""
    info = tarfile.TarInfo(name)
    info.mtime = mtime
    info.uname = info.gname = "root"
    if symlink is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, symlink, 0o777
    elif data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = len(data), 0o644
    if mode is not None:
        info.mode = mode
    body = data or b""
    return info.tobuf(tarfile.PAX_FORMAT) + body + b"\0" * (-len(body) % BLOCK)


END = b"\0" * (2 * BLOCK)
