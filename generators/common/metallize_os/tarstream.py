"""A tar archive as a stream of entries that pass through unchanged unless somebody changes them.

The bytes of an entry (header blocks, PAX records, data) are copied as they came, so owners, modes, setuid bits,
hard links, extended attributes and file capabilities survive whatever their encoding. Format: POSIX.1-2001
(pax), section "pax Interchange Format", and GNU tar's long names.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

BLOCK = 512
CHUNK = 1 << 20

FILE_TYPES = frozenset({b"0", b"\0", b"7"})
HARD_LINK, SYMLINK, DIRECTORY = b"1", b"2", b"5"
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_CUT = "the rootfs stream ended in the middle: its producer failed"
GLOBAL_RECORDS = b"g"
"""PAX records for all members that follow: an entry without a name, to be passed on."""
EXTENSIONS = frozenset({b"x", b"L", b"K", GLOBAL_RECORDS})


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes, /) -> int:
        """Take the next bytes."""
        ...


class TarError(Exception):
    """The stream is not the tar archive it should be, or ended in the middle."""


def number(field: bytes) -> int:
    """A number as a header has it: octal digits, or GNU tar's base 256."""
    if field[0] & 0x80:  # GNU base-256: two's complement without the top bit
        bits = 8 * len(field) - 1
        number = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return number - (1 << bits) if field[0] & 0x40 else number
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError as exc:
        raise TarError(f"the rootfs stream is no tar archive: {text!r} is no octal number") from exc


def _whole(text: bytes) -> int:
    """A PAX size or time in whole units, rounded up: a fraction past the latest second is too late."""
    whole, _, fraction = text.partition(b".")
    try:
        return int(whole) + (1 if fraction.strip(b"0") else 0)
    except ValueError as exc:
        raise TarError(f"the rootfs stream is no tar archive: {text!r} is no number") from exc


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    part = stream.read(min(size, CHUNK))
    if len(part) == size:  # most often
        return part
    parts, size = [part], size - len(part)
    while size:
        part = stream.read(min(size, CHUNK))
        if not part:
            raise TarError(_CUT)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _pax_records(payload: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    while payload.strip(b"\0"):
        digits, _, _ = payload.partition(b" ")
        if not digits.isdigit() or payload[int(digits) - 1 : int(digits)] != b"\n":
            raise TarError("the rootfs stream is no tar archive: a PAX record does not end where it says")
        record = payload[len(digits) + 1 : int(digits) - 1]
        key, _, value = record.partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value
        payload = payload[int(digits) :]
    return records


def _pax_block(kind: bytes, template: bytes, records: dict[str, bytes]) -> bytes:
    """An extension header like `template` with these records."""
    body = b""
    for key, value in records.items():
        rest = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    header = _patched(template, {124: b"%011o\0" % len(body), 156: kind})
    return header + body + b"\0" * (-len(body) % BLOCK)


def _patched(header: bytes, fields: dict[int, bytes]) -> bytes:
    """A header block with other bytes at some offsets, and its checksum made good."""
    block = bytearray(header)
    for offset, value in fields.items():
        block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % _sum(block)
    return bytes(block)


def _sum(block: bytes | bytearray) -> int:
    """The sum of a block's bytes. Adler-32's lower half is one more, modulo 65521 (RFC 1950): half a block is less."""
    half = BLOCK // 2
    return (zlib.adler32(block[:half]) & 0xFFFF) + (zlib.adler32(block[half:]) & 0xFFFF) - 2


def _checked(header: bytes) -> bytes:
    """The header block, if its checksum holds."""
    if number(header[148:156]) != _sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise TarError("the rootfs stream is no tar archive: a header's checksum is wrong")
    return header


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
        if self.mtime > latest:
            self.set_mtime(latest)

    def set_mtime(self, mtime: int) -> None:
        """Set the time of last change, in whole seconds since 1970."""
        if "mtime" in self.pax:
            self._drop_records("mtime")
        self.raw = self.raw[:-BLOCK] + _patched(self.raw[-BLOCK:], {136: b"%011o\0" % mtime})
        self.mtime = mtime

    def set_mode(self, mode: int) -> None:
        """Change the permission bits."""
        if mode != self.mode:
            self.raw = self.raw[:-BLOCK] + _patched(self.raw[-BLOCK:], {100: b"%07o\0" % mode})
            self.mode = mode

    def set_size(self, size: int) -> None:
        """Say that so many bytes of data follow; at most 8 GiB, which a header holds by itself."""
        if size != self.size:
            if "size" in self.pax:
                self._drop_records("size")
            self.raw = self.raw[:-BLOCK] + _patched(self.raw[-BLOCK:], {124: b"%011o\0" % size})
            self.size = size

    def become_file(self, size: int) -> None:
        """Turn a hard link into a file of that many bytes, which the caller writes behind it."""
        self._drop_records("linkpath", "size", extensions=b"K")
        fields = {124: b"%011o\0" % size, 156: b"0", 157: bytes(100)}
        self.raw = self.raw[:-BLOCK] + _patched(self.raw[-BLOCK:], fields)
        self.kind, self.size, self.link = b"0", size, ""

    def add_records(self, records: Mapping[str, bytes]) -> None:
        """Put PAX records among the member's own, in the order of their names, as Go's archive/tar writes them."""
        wanted = {**self.pax, **records}
        if wanted != self.pax:
            self._drop_records(*self.pax)
            self.pax = dict(sorted(wanted.items()))
            self.raw = _pax_block(b"x", _EXTENSION, self.pax) + self.raw

    def _drop_records(self, *keys: str, extensions: bytes = b"") -> None:
        """Take records out of the member's PAX header, the header away where nothing is left, and some extensions."""
        kept, raw = b"", self.raw[:-BLOCK]
        while raw:
            header, size = raw[:BLOCK], number(raw[124:136])
            end = BLOCK + -(-size // BLOCK) * BLOCK
            if header[156:157] == b"x":
                records = _pax_records(raw[BLOCK : BLOCK + size])
                left = {key: value for key, value in records.items() if key not in keys}
                kept += raw[:end] if left == records else _pax_block(b"x", header, left) if left else b""
            elif header[156] not in extensions:
                kept += raw[:end]
            raw = raw[end:]
        self.raw = kept + self.raw[-BLOCK:]
        for key in keys:
            self.pax.pop(key, None)


@dataclass(slots=True)
class Extensions:
    """The headers before a member's own, which speak of it."""

    raw: bytes = b""
    pax: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    link: str = ""

    def take(self, kind: bytes, blocks: bytes, size: int) -> None:
        """One more of them, with its data."""
        self.raw += blocks
        payload = blocks[BLOCK : BLOCK + size]
        if kind == b"x":
            self.pax = _pax_records(payload)
        elif kind == b"L":
            self.name = _text(payload)
        else:
            self.link = _text(payload)

    def member(self, header: bytes) -> Entry:
        """The member whose own header this is."""
        pax, kind, size = self.pax, header[156:157], number(header[124:136])
        posix = header[257:262] == b"ustar" and header[257:265] != b"ustar  \0"
        prefix = _text(header[345:500]) if posix else ""
        name = self.name or (f"{prefix}/" if prefix else "") + _text(header[0:100])
        link = self.link or _text(header[157:257])
        if kind == b"S" or any(key.startswith("GNU.sparse") for key in pax):
            raise TarError(f"{name}: sparse members are not supported")
        if "path" in pax:
            name = pax["path"].decode("utf-8", "surrogateescape")
        if "linkpath" in pax:
            link = pax["linkpath"].decode("utf-8", "surrogateescape")
        if "size" in pax:
            size = _whole(pax["size"])
        if kind == b"\0" and name.endswith("/"):  # how archives older than POSIX write a directory
            kind = DIRECTORY
        return Entry(
            name=name.removeprefix("./").strip("/"),
            kind=kind,
            size=0 if kind in _WITHOUT_DATA else size,
            mode=number(header[100:108]),
            mtime=_whole(pax["mtime"]) if "mtime" in pax else number(header[136:148]),
            link=link,
            raw=self.raw + header,
            pax=pax,
        )


def read_entries(stream: BinaryIO) -> Iterator[tuple[Entry, BinaryIO]]:
    """Yield each entry with the stream standing at its data, which the consumer must read or skip whole.

    Raises TarError where the stream is no tar archive, or ends before the archive does.
    """
    extensions = Extensions()
    while True:
        header = _read_exactly(stream, BLOCK)
        if not header.strip(b"\0"):
            if extensions.raw:
                raise TarError(_CUT)
            _drain(stream)
            return
        _checked(header)
        kind = header[156:157]
        if kind not in EXTENSIONS:
            yield extensions.member(header), stream
            extensions = Extensions()
            continue
        size = number(header[124:136])
        blocks = header + _read_exactly(stream, -(-size // BLOCK) * BLOCK)
        if kind == GLOBAL_RECORDS:
            yield Entry(name="", kind=kind, size=0, mode=0, mtime=0, link="", raw=blocks, pax={}), stream
        else:
            extensions.take(kind, blocks, size)


def _drain(stream: BinaryIO) -> None:
    while stream.read(CHUNK):
        pass


def copy_data(stream: BinaryIO, entry: Entry, *sinks: Sink) -> None:
    """Copy the entry's data, with its padding, to every sink; with none, skip it."""
    left = entry.padded_size
    while left:
        part = stream.read(min(left, CHUNK))
        if not part:
            raise TarError(f"{entry.name}: {_CUT}")
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
_EXTENSION = tarfile.TarInfo("././@PaxHeader").tobuf(tarfile.USTAR_FORMAT)
