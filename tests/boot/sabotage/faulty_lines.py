"""A bad line between a guest and whoever looks at it: bytes are lost, changed or held back at seeded moments."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from metallize.console.port import SerialConsole
from metallize.qemu import vm

_READ = 4096


@dataclass
class BadLine:
    """What is done to the bytes of one direction; the same seed does the same to the same bytes."""

    chances: random.Random
    every_bytes: int
    """On the average so many bytes pass between two faults."""
    ends: bool
    """Whether a fault may cut the line for good."""
    left: int = 0
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next()

    def spoil(self, data: bytes) -> bytes | None:
        """The bytes as they come out at the other end; None: the line is cut."""
        if self.left > len(data):
            self.left -= len(data)
            return data
        at = self.left
        self._next()
        how = self.chances.choice(["lose", "change", "hold", *(["cut"] if self.ends else [])])
        self.done.append(how)
        match how:
            case "lose":
                return data[:at] + data[at + self.chances.randint(1, 40) :]
            case "change":
                return data[:at] + bytes([self.chances.randrange(256)]) + data[at + 1 :]
            case "hold":
                time.sleep(self.chances.uniform(0.1, 3.0))
                return data
            case _:
                return None

    def _next(self) -> None:
        self.left = int(self.chances.expovariate(1 / self.every_bytes))


def pump(near: socket.socket, far: socket.socket, line: BadLine) -> None:
    """Carry bytes from one socket to the other until either ends, or the line is cut."""
    with contextlib.suppress(OSError):
        while data := near.recv(_READ):
            spoilt = line.spoil(data)
            if spoilt is None:
                break
            far.sendall(spoilt)
    for end in (near, far):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def bad_ssh(seed: int) -> Iterator[list[BadLine]]:
    """Every connection to the guest's port 22 goes over a bad line."""
    lines: list[BadLine] = []
    chances = random.Random(seed)  # noqa: S311 - a fault's moment is no secret
    honest = vm.RunningGuest.host_port
    with ExitStack() as stack:

        def host_port(guest: vm.RunningGuest, port: int) -> int:
            if port != 22:
                return honest(guest, port)
            return stack.enter_context(_relay(honest(guest, port), chances, lines))

        stack.enter_context(mock.patch.object(vm.RunningGuest, "host_port", host_port))
        yield lines


@contextmanager
def _relay(port: int, chances: random.Random, lines: list[BadLine]) -> Iterator[int]:
    ends: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = server.accept()
                    far = socket.create_connection(("127.0.0.1", port))
                    ends.append(_both_ways(near, far, chances, lines, ends=True, every_bytes=20_000))

        thread = threading.Thread(target=serve, daemon=True, name="relay")
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for end in ends:
                end.join(5)


@contextmanager
def bad_serial(seed: int) -> Iterator[list[BadLine]]:
    """The serial port goes over a bad line."""
    lines: list[BadLine] = []
    chances = random.Random(seed)  # noqa: S311 - a fault's moment is no secret

    ends: list[threading.Thread] = []

    def console(port: socket.socket, *args: Any, **more: Any) -> SerialConsole:
        near, far = socket.socketpair()
        ends.append(_both_ways(port, near, chances, lines, ends=False, every_bytes=12_000))
        return SerialConsole(far, *args, **more)

    with mock.patch.object(vm, "SerialConsole", console):
        yield lines
    for end in ends:
        end.join(5)


def _both_ways(
    one: socket.socket,
    other: socket.socket,
    chances: random.Random,
    lines: list[BadLine],
    *,
    ends: bool,
    every_bytes: int,
) -> threading.Thread:
    """Carry what comes on two sockets to each other; the thread ends when both are closed."""
    directions = []
    for near, far in ((one, other), (other, one)):
        line = BadLine(random.Random(chances.random()), every_bytes, ends)  # noqa: S311 - the same
        lines.append(line)
        directions.append(threading.Thread(target=pump, args=(near, far, line), daemon=True, name="bad line"))
        directions[-1].start()

    def close() -> None:
        for direction in directions:
            direction.join()
        one.close()
        other.close()

    closing = threading.Thread(target=close, daemon=True, name="bad line's end")
    closing.start()
    return closing


Bad = Callable[[int], contextlib.AbstractContextManager[list[BadLine]]]
