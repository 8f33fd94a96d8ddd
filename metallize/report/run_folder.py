"""What a run has left in its folder, as a value; bounded, whatever the guest printed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 96 << 10
TAIL_BYTES = 288 << 10
"""Of a console that is longer, the beginning and the end are shown."""
SHOWN_TEXT_BYTES = 128 << 10
SCREENSHOT_BYTES = 4 << 20
_STAMPED = re.compile(r"\[ *(\d+\.\d{3})\] ?(.*)", re.DOTALL)

RESCUED = ("initramfs.txt", "emergency.txt")
DIAGNOSIS = "diagnosis.txt"
"""What was collected at a prompt where the boot had stopped (metallize.verify.why.rescue)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLine:
    """A line of console.txt and when it came, in seconds since power-on."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What is shown of the console: its head, and its tail where not all of it is shown."""

    head: tuple[ConsoleLine, ...] = ()
    tail: tuple[ConsoleLine, ...] = ()
    left_out_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The files of one run."""

    console: Console = Console()
    later: tuple[tuple[str, Console], ...] = ()
    """The consoles of later boots of the same disk, each by the name of its part of the folder."""
    screenshot: bytes = b""
    """A PNG, of the last boot that has one."""
    texts: tuple[tuple[str, str], ...] = ()
    """Short files by name: units.txt and what was rescued."""
    argv: tuple[str, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    """Every file with its size in bytes, by name."""


def read_run_folder(folder: Path) -> RunFolder:
    """Read what is there; a file that is missing, or cannot be read, is left out."""
    names = {entry.relative_to(folder).as_posix(): entry.stat().st_size for entry in _entries(folder)}
    parts = sorted(name.removesuffix("/console.txt") for name in names if name.endswith("/console.txt"))
    texts = (
        (name, _text(folder / name)) for name in sorted(names) if Path(name).name in (*RESCUED, DIAGNOSIS, "units.txt")
    )
    pictures = ["screenshot.png", *sorted(name for name in names if name.endswith("/screenshot.png"))]
    picture = next(
        (found for name in reversed(pictures) if (found := _bytes(folder / name, SCREENSHOT_BYTES + 1))), b""
    )
    return RunFolder(
        console=read_console(folder / "console.txt"),
        later=tuple((part, read_console(folder / part / "console.txt")) for part in parts),
        screenshot=picture if picture.startswith(b"\x89PNG") and len(picture) <= SCREENSHOT_BYTES else b"",
        texts=tuple((name, text) for name, text in texts if text.strip()),
        argv=tuple(_text(folder / "argv.txt").splitlines()),
        files=tuple(sorted((name, size) for name, size in names.items() if "/." not in f"/{name}")),
    )


def read_console(path: Path, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> Console:
    """The lines of console.txt, of a long one its head and its tail."""
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length <= head_bytes + tail_bytes:
                return Console(head=_lines(file.read(head_bytes + tail_bytes)))
            head = file.read(head_bytes).rpartition(b"\n")[0]
            file.seek(length - tail_bytes)
            tail = file.read(tail_bytes).partition(b"\n")[2]
    except OSError:
        return Console()
    return Console(head=_lines(head), tail=_lines(tail), left_out_bytes=length - len(head) - len(tail))


def _lines(data: bytes) -> tuple[ConsoleLine, ...]:
    lines: list[ConsoleLine] = []
    for line in data.decode("utf-8", "replace").rstrip("\n").split("\n"):
        match = _STAMPED.match(line)
        if match is not None:
            lines.append(ConsoleLine(seconds=float(match[1]), text=match[2]))
        elif line:  # the last line, as far as it had come
            lines.append(ConsoleLine(seconds=lines[-1].seconds if lines else 0.0, text=line))
    return tuple(lines)


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.rglob("*") if entry.is_file()]
    except OSError:
        return []


def _bytes(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def _text(path: Path) -> str:
    data = _bytes(path, SHOWN_TEXT_BYTES + 1)
    text = data[:SHOWN_TEXT_BYTES].decode("utf-8", "replace")
    return text if len(data) <= SHOWN_TEXT_BYTES else f"{text}\n... ({path.name} is longer)"
