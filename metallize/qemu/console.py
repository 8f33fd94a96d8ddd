"""The serial port of a running guest: one thread reads it, writes it down, and shows it to the watch."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from pathlib import Path

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import ShellError
from metallize.qemu.normalise import Normaliser
from metallize.qemu.watch import BootWatch

KEPT_CHARACTERS = 1 << 20
"""How much clean text is kept in memory for those who look for an answer in it."""
LONGEST_LINE = 1 << 13
"""A line that is longer is broken, so that memory stays flat whatever is printed."""
READ_BYTES = 1 << 16
"""So much at once: other threads get their turn between two reads, however fast the guest prints."""
CHUNK_CHARACTERS = 1 << 14
"""Shorter reads are kept together: a guest prints a few bytes at a time."""
WRITE_SECONDS = 10.0
"""So long a guest that takes no input is waited for."""


class SerialConsole:
    """One serial port: `console.log` gets its raw bytes, `console.txt` its clean lines with their times."""

    def __init__(self, port: socket.socket, folder: Path, watch: BootWatch) -> None:
        self._port = port
        self._watch = watch
        self._normaliser = Normaliser()
        self._folder = folder
        self._lock = threading.Lock()
        self._chunks: deque[str] = deque()
        self._kept = 0
        self._position = 0
        self._lines = Lines()
        self._last_output = time.monotonic()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop reading; what had come is on disk then."""
        if self._thread.ident is not None:
            self._thread.join(2)  # QEMU has ended: what it wrote last is read to its end
        with contextlib.suppress(OSError):
            self._port.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join(5)
        self._port.close()
        if self._problem is not None:
            raise HostError(f"the console's log could not be written: {self._problem}") from self._problem

    @property
    def alive(self) -> bool:
        """Whether the machine still holds its end."""
        return self._thread.is_alive()

    def write(self, data: bytes) -> None:
        """Type. An UART takes what its buffer holds; QEMU takes more from the socket as the guest reads.

        Raises ShellError when the guest takes nothing, or is gone.
        """
        deadline = Deadline.after(WRITE_SECONDS, "the guest to take what is typed")
        while data:
            try:
                sent = self._port.send(data[:256], socket.MSG_DONTWAIT)
            except BlockingIOError:
                if deadline.expired:
                    raise ShellError(f"the guest takes no input on its serial port in {WRITE_SECONDS:.0f} s") from None
                select.select([], [self._port], [], min(0.2, deadline.remaining))
            except OSError as exc:
                raise ShellError(f"the serial port is gone: {exc}") from exc
            else:
                data = data[sent:]

    @property
    def position(self) -> int:
        with self._lock:
            return self._position

    def since(self, position: int) -> str:
        with self._lock:
            wanted = self._position - position
            if wanted <= 0:
                return ""
            parts: list[str] = []
            have = 0
            for chunk in reversed(self._chunks):
                parts.append(chunk)
                have += len(chunk)
                if have >= wanted:
                    break
        text = "".join(reversed(parts))
        return text[-wanted:] if len(text) > wanted else text

    @property
    def line(self) -> str:
        return self._lines.rest

    @property
    def quiet_seconds(self) -> float:
        return time.monotonic() - self._last_output

    def tail(self, lines: int) -> tuple[str, ...]:
        text = self.since(max(0, self.position - 200 * lines))
        kept = [line for line in text.split("\n") if line.strip()]
        return tuple(kept[-lines:])

    def _read(self) -> None:
        try:
            with (
                (self._folder / "console.log").open("wb") as raw,
                (self._folder / "console.txt").open("w", encoding="utf-8") as clean,
            ):
                while True:
                    try:
                        data = self._port.recv(READ_BYTES)
                    except OSError:
                        data = b""
                    if not data:
                        clean.write(self._lines.rest)
                        return
                    raw.write(data)
                    raw.flush()
                    self._watch.received(len(data))
                    whole = self._take(self._normaliser.feed(data))
                    if whole:
                        stamp = f"[{self._watch.seconds:8.3f}] "
                        body = whole[:-1].replace("\n", "\n" + stamp)
                        clean.write(f"{stamp}{body}\n")
                        clean.flush()
        except OSError as exc:
            self._problem = exc
            self._watch.fail("host-disk-full", f"the console's log could not be written: {exc}")

    def _take(self, text: str) -> str:
        """Keep the text, show the watch its whole lines, and return these."""
        with self._lock:
            self._last_output = time.monotonic()
            self._position += len(text)
            if self._chunks and len(self._chunks[-1]) + len(text) <= CHUNK_CHARACTERS:
                self._chunks[-1] += text
            else:
                self._chunks.append(text)
            self._kept += len(text)
            while self._kept > KEPT_CHARACTERS and len(self._chunks) > 1:
                self._kept -= len(self._chunks.popleft())
        whole = self._lines.feed(text)
        self._watch.console_text(whole, self._lines.rest)
        return whole


class Lines:
    """Puts clean text together to whole lines, however it was cut into reads."""

    def __init__(self) -> None:
        self.rest = ""
        """The line that was begun."""

    def feed(self, text: str) -> str:
        """The lines that are whole now; empty ones say nothing and are left out."""
        text = self.rest + text
        end = text.rfind("\n") + 1
        whole, self.rest = text[:end], text[end:]
        if len(text) > LONGEST_LINE and max(map(len, text.split("\n"))) > LONGEST_LINE:
            whole, self.rest = break_lines(text)
        while "\n\n" in whole:
            whole = whole.replace("\n\n", "\n")
        return whole.lstrip("\n")


def break_lines(text: str) -> tuple[str, str]:
    """Whole lines and the rest, no line longer than LONGEST_LINE."""
    lines: list[str] = []
    for line in text.split("\n"):
        pieces = [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)] or [""]
        lines.extend(pieces)
    return "".join(f"{line}\n" for line in lines[:-1]), lines[-1]
