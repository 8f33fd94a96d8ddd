"""The serial ports of a running guest: one thread reads them, writes them down, and shows them to the watch."""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from metallize.console.normalise import Normaliser
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import ShellError

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
    """The port on which the system speaks and listens.

    `console.log` gets its raw bytes, `console.txt` its clean lines with their times. The lines of a board's other ports
    go there too, with the port's name, and raw to a log of their own.
    """

    def __init__(
        self,
        port: socket.socket,
        folder: Path,
        watch: BootWatch,
        *,
        others: Mapping[str, socket.socket] | None = None,
        echoing: frozenset[str] = frozenset(),
    ) -> None:
        self._port = port
        self._others = {near: _Other(name, folder, heard=name not in echoing) for name, near in (others or {}).items()}
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
        for near in self._others:
            near.close()
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
                for data in self._arriving(clean):
                    raw.write(data)
                    raw.flush()
                    self._watch.received(len(data))
                    self._write(clean, self._take(self._normaliser.feed(data)))
                clean.write(self._lines.rest)
        except BrokenPipeError as exc:  # whoever is told of the stages: no log is a pipe
            self._watch.broke("the reader of the console", exc)
        except OSError as exc:
            self._problem = exc
            self._watch.fail("host-disk-full", f"the console's log could not be written: {exc}")
        except BaseException as exc:  # noqa: BLE001 - raised in whoever waits: nobody may take it for a silent guest
            self._watch.broke("the reader of the console", exc)

    def _arriving(self, clean: TextIO) -> Iterator[bytes]:
        """What the console prints, until the machine closes it; what comes on other ports is dealt with on the way."""
        with selectors.DefaultSelector() as ports:
            for near in (self._port, *self._others):
                ports.register(near, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in ports.select()]
                for near in [near for near in self._others if near in ready]:
                    if data := _received(near):
                        self._aside(self._others[near], data, clean)
                    else:
                        ports.unregister(near)
                if self._port in ready:
                    data = _received(self._port)
                    if not data:
                        return
                    yield data

    def _write(self, clean: TextIO, whole: str, port: str = "") -> None:
        if whole:
            stamp = f"[{self._watch.seconds:8.3f}] {port}"
            body = whole[:-1].replace("\n", "\n" + stamp)
            clean.write(f"{stamp}{body}\n")
            clean.flush()

    def _aside(self, other: _Other, data: bytes, clean: TextIO) -> None:
        """What came on another port; the watch is shown what it does not see on the console anyway."""
        whole = other.take(data)
        self._write(clean, whole, f"{other.name}: ")
        if whole and other.heard:
            self._watch.aside(whole)

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


class _Other:
    """A port that is written down and not typed to."""

    def __init__(self, name: str, folder: Path, *, heard: bool) -> None:
        self.name = name
        self.heard = heard
        self._log = folder / f"console-{name}.log"
        self._normaliser = Normaliser()
        self._lines = Lines()

    def take(self, data: bytes) -> str:
        """Keep the bytes, and return the lines that they make whole."""
        with self._log.open("ab") as log:
            log.write(data)
        return self._lines.feed(self._normaliser.feed(data))


def _received(port: socket.socket) -> bytes:
    """What has come; nothing where the machine has closed its end."""
    try:
        return port.recv(READ_BYTES)
    except OSError:
        return b""


def break_lines(text: str) -> tuple[str, str]:
    """Whole lines and the rest, no line longer than LONGEST_LINE."""
    lines: list[str] = []
    for line in text.split("\n"):
        pieces = [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)] or [""]
        lines.extend(pieces)
    return "".join(f"{line}\n" for line in lines[:-1]), lines[-1]
