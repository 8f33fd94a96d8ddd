"""Kernels and initrds that stand beside the rootfs and not in it, whatever names they are linked to in it.

A tar archive holds a file under the first of its names, and the others as hard links to that one: which comes first is
the producer's choice (`boot/vmlinuz` before `boot/vmlinuz-6.12`). So what a kernel may be linked to is kept too while
the rootfs streams by, and a link to what is held back becomes a file of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from metallize_os import tarstream
from metallize_os.tarstream import BLOCK, Entry, Sink

_FOLDER = "boot/"


class Aside:
    """Holds them back in a folder, each under its own name without the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, Path] = {}
        self._kept: dict[str, Path] = {}

    def hold(self, entry: Entry, stream: BinaryIO) -> bool:
        """Write the kernel or initrd aside; whether its content is there, and not in a file that nobody kept."""
        target = self._folder / entry.name.rpartition("/")[2]
        if entry.kind == tarstream.HARD_LINK:
            link = linked(entry)
            source = self._held.get(link) or self._kept.get(link)
            if source is None:
                return False
            shutil.copyfile(source, target)
        else:
            with target.open("wb") as file:
                tarstream.copy_data(stream, entry, file)
                file.truncate(entry.size)
        self._held[entry.name] = target
        return True

    def copy(self, entry: Entry, stream: BinaryIO, sink: Sink) -> None:
        """Pass on the data of what stays in the rootfs, and keep it where a kernel may be linked to it."""
        if entry.kind not in tarstream.FILE_TYPES or not entry.name.startswith(_FOLDER) or entry.name.count("/") > 1:
            tarstream.copy_data(stream, entry, sink)
            return
        path = self._kept[entry.name] = self._folder / f".kept-{len(self._kept)}"
        with path.open("wb") as file:
            tarstream.copy_data(stream, entry, sink, file)
            file.truncate(entry.size)

    def own_file(self, entry: Entry, sink: Sink) -> int | None:
        """Write a hard link to what is held back as a file of its own; its size, None where it leads elsewhere."""
        source = self._held.get(linked(entry)) if entry.kind == tarstream.HARD_LINK else None
        if source is None:
            return None
        size = source.stat().st_size
        entry.become_file(size)
        sink.write(entry.raw)
        with source.open("rb") as file:
            shutil.copyfileobj(file, sink)
        sink.write(b"\0" * (-size % BLOCK))
        return size

    def forget(self) -> None:
        """Remove what was kept for links; what is held back stays."""
        for path in self._kept.values():
            path.unlink()
        self._kept.clear()


def linked(entry: Entry) -> str:
    """The name that a hard link leads to, as names of entries are written."""
    return entry.link.removeprefix("./").strip("/")
