"""Which files are in the root filesystem, as mtree(5) has it: each with its kind, owner, mode, size, time and digest.

It is read off the archive as it goes to the tool that makes the filesystem, so that it is what the image has, whatever
the conversion did. Times are those of the archive; what a generator puts beside the root filesystem is not in it.
"""

from __future__ import annotations

import hashlib
import re

from metallize_os import tarstream
from metallize_os.tarstream import BLOCK, Entry, Sink

_KINDS = {b"2": "link", b"3": "char", b"4": "block", b"5": "dir", b"6": "fifo"}
_ODD = re.compile(rb"[^!-~]|[\\#=*?\[]")
"""What does not stand for itself in a name, and is written in octal, as vis(3) with VIS_OCTAL does."""


class Listing:
    """A sink between a conversion and the tool: passes everything on, and learns what passes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting = bytearray()
        self._extensions = tarstream.Extensions()
        self._entry: Entry | None = None
        self._left = 0
        """Of the entry's data, with its padding."""
        self._digest = hashlib.sha256()
        self._unseen = 0
        """Of the entry's data, without."""
        self._ended = False
        self._files: dict[str, str] = {}

    def write(self, data: bytes, /) -> int:
        """Pass on the next bytes of the archive, however it is cut."""
        self._sink.write(data)
        if 0 < len(data) <= self._left:  # most of what comes
            self._take(memoryview(data))
        else:
            self._see(data)
        return len(data)

    def member(self, entry: Entry) -> None:
        """Pass on the headers of a member that somebody has read already; its data comes by `write`."""
        self._sink.write(entry.raw)
        self._begin(entry)

    @property
    def entries(self) -> int:
        return len(self._files)

    def text(self) -> str:
        """The whole list, in the order of the names: the same for the same files."""
        files = {".": "type=dir", **self._files}  # mtree(8) wants the folder itself, which not every archive has
        return "#mtree\n" + "".join(f"{name} {files[name]}\n" for name in sorted(files))

    def _see(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._ended:
            if self._left:
                view = self._take(view)
                continue
            room = self._wanted() - len(self._waiting)
            self._waiting += view[:room]
            view = view[room:]
            if len(self._waiting) == self._wanted():
                self._header(bytes(self._waiting))

    def _wanted(self) -> int:
        """How many bytes of a header there are: those of an extension come with its data."""
        if len(self._waiting) < BLOCK or bytes(self._waiting[156:157]) not in tarstream.EXTENSIONS:
            return BLOCK
        return BLOCK + -(-tarstream.number(bytes(self._waiting[124:136])) // BLOCK) * BLOCK

    def _take(self, view: memoryview) -> memoryview:
        part = view[: self._left]
        self._digest.update(part[: self._unseen])
        self._unseen = max(0, self._unseen - len(part))
        self._left -= len(part)
        if not self._left:
            self._close()
        return view[len(part) :]

    def _header(self, blocks: bytes) -> None:
        self._waiting.clear()
        kind = blocks[156:157]
        if not blocks.strip(b"\0"):
            self._ended = True
        elif kind == tarstream.GLOBAL_RECORDS:
            return
        elif kind in tarstream.EXTENSIONS:
            self._extensions.take(kind, blocks, tarstream.number(blocks[124:136]))
        else:
            entry, self._extensions = self._extensions.member(blocks), tarstream.Extensions()
            self._begin(entry)

    def _begin(self, entry: Entry) -> None:
        self._entry = entry
        self._digest = hashlib.sha256()
        self._left, self._unseen = entry.padded_size, entry.size
        if not self._left:
            self._close()

    def _close(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            name = f"./{_escaped(entry.name)}" if entry.name not in ("", ".") else "."
            self._files[name] = self._told(entry)

    def _told(self, entry: Entry) -> str:
        if entry.kind == tarstream.HARD_LINK:  # a second name of what has passed already
            return self._files.get(f"./{_escaped(entry.link.removeprefix('./').strip('/'))}", "type=file")
        header = entry.raw[-BLOCK:]
        kind = _KINDS.get(entry.kind, "file")
        owner, group = _owner(entry, "uid", header[108:116]), _owner(entry, "gid", header[116:124])
        told = f"type={kind} uid={owner} gid={group} mode={entry.mode & 0o7777:04o} time={entry.mtime}.0"
        if kind == "file":
            return f"{told} size={entry.size} sha256digest={self._digest.hexdigest()}"
        if kind == "link":
            return f"{told} link={_escaped(entry.link)}"
        if kind in ("char", "block"):
            major, minor = (tarstream.number(header[start : start + 8]) for start in (329, 337))
            return f"{told} device=linux,{major},{minor}"
        return told


def _owner(entry: Entry, name: str, field: bytes) -> int:
    told = entry.pax.get(name)
    return int(told) if told is not None else tarstream.number(field)


def _escaped(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    return _ODD.sub(lambda match: b"\\%03o" % match[0][0], raw).decode("ascii")
