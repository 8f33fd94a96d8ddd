"""TFTP's packets as values: RFC 1350, with options as in RFC 2347, 2348 (blksize) and 2349 (timeout, tsize)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

MAX_BLOCK_BYTES = 1468
"""What fits a frame of Ethernet: a greater block would travel in pieces, and is lost with any of them."""
MIN_BLOCK_BYTES = 8
DEFAULT_BLOCK_BYTES = 512
MAX_TIMEOUT_SECONDS = 255
MOST_DIGITS = 20
"""Of a number with 64 bits; one with more makes no sense, and Python reads no text of thousands as a number."""


class Opcode(IntEnum):
    READ = 1
    WRITE = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


class ErrorCode(IntEnum):
    UNDEFINED = 0
    NOT_FOUND = 1
    ACCESS = 2
    ILLEGAL = 4


class BadPacketError(ValueError):
    """A packet that is none; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for first."""

    write: bool = False
    file: str
    mode: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a file is sent, and what of it was asked for: only that is confirmed."""

    block_bytes: int = DEFAULT_BLOCK_BYTES
    timeout_seconds: float = 1.0
    confirmed: Mapping[str, str] = field(default_factory=dict)


def parse_request(packet: bytes) -> Request:
    """Raises BadPacketError."""
    if len(packet) < 4:  # noqa: PLR2004 - an opcode and two empty strings
        raise BadPacketError("too short")
    (opcode,) = struct.unpack_from("!H", packet)
    if opcode not in {Opcode.READ, Opcode.WRITE}:
        raise BadPacketError("no request")
    if not packet.endswith(b"\0"):
        raise BadPacketError("it does not end with its last string")
    words = packet[2:-1].decode("utf-8", "replace").split("\0")
    if len(words) < 2 or not words[0]:  # noqa: PLR2004 - file and mode
        raise BadPacketError("no file or no mode")
    pairs = zip(words[2::2], words[3::2], strict=False)
    return Request(
        write=opcode == Opcode.WRITE,
        file=words[0],
        mode=words[1].lower(),
        options={name.lower(): value for name, value in pairs},
    )


def negotiate(options: Mapping[str, str], size_bytes: int) -> Terms:
    """What we agree to: an option that is unknown, or makes no sense, is as if it were not there (RFC 2347)."""
    block, timeout, confirmed = DEFAULT_BLOCK_BYTES, 1.0, {}
    for name, text in options.items():
        if not (text.isascii() and text.isdigit()) or len(text) > MOST_DIGITS:
            continue
        value = int(text)
        if name == "blksize" and value >= MIN_BLOCK_BYTES:
            block = min(value, MAX_BLOCK_BYTES)
            confirmed[name] = str(block)
        elif name == "timeout" and 1 <= value <= MAX_TIMEOUT_SECONDS:
            timeout = float(value)
            confirmed[name] = text
        elif name == "tsize":
            confirmed[name] = str(size_bytes)
    return Terms(block_bytes=block, timeout_seconds=timeout, confirmed=confirmed)


def data(number: int, content: bytes) -> bytes:
    """A block; its number starts again at 0 after 65535, so that no file is too large."""
    return struct.pack("!HH", Opcode.DATA, number & 0xFFFF) + content


def oack(options: Mapping[str, str]) -> bytes:
    words = (word.encode() + b"\0" for pair in options.items() for word in pair)
    return struct.pack("!H", Opcode.OACK) + b"".join(words)


def error(code: ErrorCode, message: str) -> bytes:
    return struct.pack("!HH", Opcode.ERROR, code) + message.encode() + b"\0"


def acknowledged(packet: bytes) -> int | None:
    """The number of the block that an ACK confirms; None: it is no ACK."""
    if len(packet) < 4 or packet[:2] != b"\0\4":  # noqa: PLR2004 - opcode and number
        return None
    return int.from_bytes(packet[2:4])


def complaint(packet: bytes) -> str | None:
    """The message of an ERROR; None: it is none."""
    if len(packet) < 4 or packet[:2] != b"\0\5":  # noqa: PLR2004 - opcode and code
        return None
    return packet[4:].rstrip(b"\0").decode("utf-8", "replace") or f"error {int.from_bytes(packet[2:4])}"
