"""A client of TFTP that can lose, repeat and misunderstand packets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.unit.serve.conftest import LOOPBACK


def request(name: str, options: Mapping[str, str] | None = None, *, opcode: int = 1, mode: str = "octet") -> bytes:
    words = [name, mode, *(word for pair in (options or {}).items() for word in pair)]
    return struct.pack("!H", opcode) + b"".join(word.encode() + b"\0" for word in words)


@dataclass(kw_only=True)
class Got:
    content: bytes = b""
    confirmed: dict[str, str] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    repeats: int = 0


def fetch(
    port: int,
    name: str,
    options: Mapping[str, str] | None = None,
    *,
    deaf_to: Callable[[int], bool] = lambda _: False,
    twice: bool = False,
) -> Got:
    """A client as RFC 1350 describes it; it is `deaf_to` some packets, and may confirm all of them twice."""
    got, heard, expected = Got(), 0, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(10)
        line.bind((LOOPBACK, 0))
        line.sendto(request(name, options), (LOOPBACK, port))
        while True:
            packet, peer = line.recvfrom(65536)
            heard += 1
            if deaf_to(heard):
                continue
            opcode, number = struct.unpack_from("!HH", packet)
            if opcode == 5:
                got.error = (number, packet[4:-1].decode())
                return got
            if opcode == 6:
                words = packet[2:-1].decode().split("\0")
                got.confirmed = dict(zip(words[::2], words[1::2], strict=True))
                number = 0
            elif number == expected & 0xFFFF:
                got.content += packet[4:]
                expected += 1
            else:
                got.repeats += 1
            for _ in range(2 if twice else 1):
                line.sendto(struct.pack("!HH", 4, number), peer)
            if opcode == 3 and len(packet) - 4 < int(got.confirmed.get("blksize", 512)):
                return got
