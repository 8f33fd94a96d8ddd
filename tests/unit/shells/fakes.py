"""A guest that never fails, a console that is fed, a getty that answers, and a real shell on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from metallize.console.normalise import Normaliser
from metallize.deadline import Deadline
from metallize.model.report import Stage, StageTime

T = TypeVar("T")


class FakeWatch:
    """A guest that never fails."""

    idles = False

    stage = Stage.USERSPACE
    stages: tuple[StageTime, ...] = ()
    seconds = 0.0
    slowness = 1.0
    network_started = True
    flooded = False
    flooded_seconds = 0.0
    flooded_bytes = 0

    def check(self) -> None: ...

    def idle_meter(self) -> Callable[[], float]:
        begun = time.monotonic()
        return lambda: time.monotonic() - begun if self.idles else 0.0

    def reached(self, stage: Stage) -> None: ...

    def expect_reset(self) -> None: ...

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None: ...

    def go_on(self) -> None: ...

    def drain(self, deadline: Deadline) -> tuple[str, ...]:
        return ()

    def allows(self, text: str) -> bool:
        return False

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        while True:
            value = condition()
            if value is not None or deadline.expired:
                return value
            time.sleep(0.005)


class FakeConsole:
    """Clean text, from whoever feeds it; what is typed goes to a function."""

    def __init__(self, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._normaliser = Normaliser()
        self._text = ""
        self._last = time.monotonic()
        self.now = 0.0
        """Seconds beside those of the clock."""

    def feed(self, data: bytes) -> None:
        self._text += self._normaliser.feed(data)
        self._last = time.monotonic() + self.now

    def write(self, data: bytes) -> None:
        self._typed(data)

    @property
    def position(self) -> int:
        return len(self._text)

    def since(self, position: int) -> str:
        return self._text[position:]

    @property
    def line(self) -> str:
        return self._text.rpartition("\n")[2]

    @property
    def quiet_seconds(self) -> float:
        return time.monotonic() + self.now - self._last

    def tail(self, lines: int) -> tuple[str, ...]:
        return tuple(self._text.split("\n")[-lines:])


ASKED = "(a sum)"
"""In a getty's turns: the challenge, whichever numbers it has; in what is printed then it is {typed}, and {sum}."""
ADDS = (ASKED, "{typed}\r\nmz-alive-{sum}\r\n$ ")
_SUM = re.compile(r"expr (\d+) \+ (\d+) \| sed .*")


class Getty:
    """Answers lines as a getty and login would: a list of (what is typed, what is printed then)."""

    def __init__(self, greeting: str, turns: list[tuple[str, str]]) -> None:
        self.console = FakeConsole(self._typed)
        self.console.feed(greeting.encode())
        self._turns = turns
        self._held = ""
        self.lines: list[str] = []

    def _typed(self, data: bytes) -> None:
        self._held += data.decode()
        while "\r" in self._held:
            line, _, self._held = self._held.partition("\r")
            sums = _SUM.fullmatch(line)
            wanted = ASKED if sums else line
            self.lines.append(wanted)
            if self._turns and self._turns[0][0] == wanted:
                said = self._turns.pop(0)[1]
                if sums:
                    said = said.format(typed=line, sum=int(sums[1]) + int(sums[2]))
                self.console.feed(said.encode())


def as_it_is(data: bytes) -> bytes:
    return data


@contextlib.contextmanager
def terminal_with_a_shell(
    argv: list[str],
    *,
    change: Callable[[bytes], bytes] = as_it_is,
    typed: Callable[[bytes], bytes] = as_it_is,
    prompt: str = "$ ",
) -> Iterator[FakeConsole]:
    """A real shell's terminal, echo, line discipline and Ctrl-C included."""
    near, far = pty.openpty()
    argv = ["setsid", "--ctty", *argv]
    process = subprocess.Popen(argv, stdin=far, stdout=far, stderr=far, env={**os.environ, "PS1": prompt})
    os.close(far)
    console = FakeConsole(lambda data: _write(near, typed(data)))

    def read() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(near, 4096):
                console.feed(change(data))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield console
    finally:
        process.kill()
        process.wait()
        thread.join(5)
        os.close(near)


def _write(near: int, data: bytes) -> None:
    while data:
        data = data[os.write(near, data) :]
