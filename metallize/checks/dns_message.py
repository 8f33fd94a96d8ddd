"""DNS messages: a question as bytes, and the answers of a reply in the words that goss has for them.

Sources: RFC 1035 (messages), 3596 (AAAA), 2782 (SRV), 4255 (SSHFP), 8659 (CAA), and goss system/dns.go for the words.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "SSHFP": 44,
    "CAA": 257,
}
_IN = 1
_HEADER_BYTES = 12
_MAX_LABEL = 63
_MAX_NAME = 255
_POINTER = 0xC0
_MOST_POINTERS = 64
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class BadMessage(ValueError):  # noqa: N818 - it says what it is
    """The bytes are no reply to the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answers of one type, and what the server said of the question where that was not 'no error'."""

    answers: tuple[str, ...]
    trouble: str = ""


def question(name: str, record: str, identity: int) -> bytes:
    """The message that asks a server for a name's records of one type; raises ValueError for what is no name."""
    header = identity.to_bytes(2) + b"\x01\x00" + b"\x00\x01" + bytes(6)  # recursion desired, one question
    return header + _name(name) + TYPES[record].to_bytes(2) + _IN.to_bytes(2)


def reverse_name(address: str) -> str:
    """The name under which an address's PTR record stands; raises ValueError for what is no address."""
    return ipaddress.ip_address(address).reverse_pointer


def answers(message: bytes, record: str, identity: int) -> Reply:
    """What a reply says. Raises BadMessage for bytes that are no reply to this question."""
    try:
        return _answers(message, record, identity)
    except IndexError as exc:
        raise BadMessage("the reply is cut short") from exc


def _answers(message: bytes, record: str, identity: int) -> Reply:
    if len(message) < _HEADER_BYTES or message[:2] != identity.to_bytes(2) or not message[2] & 0x80:
        raise BadMessage("what came back is no reply to the question")
    questions, count = int.from_bytes(message[4:6]), int.from_bytes(message[6:8])
    position = _HEADER_BYTES
    for _ in range(questions):
        _, position = _read_name(message, position)
        position += 4
    found: list[str] = []
    for _ in range(count):
        _, position = _read_name(message, position)
        kind = int.from_bytes(message[position : position + 2])
        length = int.from_bytes(message[position + 8 : position + 10])
        start = position + 10
        position = start + length
        if position > len(message):
            raise BadMessage("the reply is cut short")
        if kind == TYPES[record]:
            found += _data(message, record, start, position)
    code = message[3] & 0x0F
    trouble = f"the server says {_RCODES.get(code, f'error {code}')}" if code else ""
    if message[2] & 0x02:
        trouble = "the reply was cut short by the server: it is too long for UDP"
    return Reply(answers=tuple(found), trouble=trouble)


def _data(message: bytes, record: str, start: int, end: int) -> list[str]:
    data = message[start:end]
    match record:
        case "A" | "AAAA":
            return [_address(data)]
        case "NS" | "CNAME" | "PTR":
            words = [_read_name(message, start)[0]]
        case "MX":
            words = [str(int.from_bytes(data[:2])), _read_name(message, start + 2)[0]]
        case "SRV":
            numbers = (int.from_bytes(data[at : at + 2]) for at in (0, 2, 4))
            words = [*map(str, numbers), _read_name(message, start + 6)[0]]
        case "SSHFP":
            words = [str(data[0]), str(data[1]), data[2:].hex().upper()]
        case "CAA":
            words = [str(data[0]), data[2 : 2 + data[1]].decode("ascii", "replace"), _text(data[2 + data[1] :])]
        case _:
            return _strings(data)
    return [" ".join(words)]


def _address(data: bytes) -> str:
    try:
        return str(ipaddress.ip_address(data))
    except ValueError as exc:
        raise BadMessage("an address in the reply has a wrong length") from exc


def _strings(data: bytes) -> list[str]:
    """The character strings of a TXT record, each by itself, as goss has them."""
    found = []
    at = 0
    while at < len(data):
        found.append(_text(data[at + 1 : at + 1 + data[at]]))
        at += 1 + data[at]
    return found


def _text(data: bytes) -> str:
    """Text with what is not printable, and quotes, as master files write them (RFC 1035, 5.1)."""
    return "".join(
        f"\\{byte:03d}" if not 0x20 <= byte < 0x7F else f"\\{chr(byte)}" if chr(byte) in '"\\' else chr(byte)  # noqa: PLR2004 - printable ASCII
        for byte in data
    )


def _name(name: str) -> bytes:
    labels = [label.encode() for label in name.removesuffix(".").split(".")] if name != "." else []
    if any(not 1 <= len(label) <= _MAX_LABEL for label in labels):
        raise ValueError(f"`{name}` is no name of the DNS: a part of it is empty, or longer than {_MAX_LABEL} bytes")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(encoded) > _MAX_NAME:
        raise ValueError(f"`{name[:60]}...` is longer than a name of the DNS may be")
    return encoded


def _read_name(message: bytes, position: int) -> tuple[str, int]:
    """The name at a position, with the dot at its end, and where what follows it begins."""
    labels: list[str] = []
    after: int | None = None
    for _ in range(_MAX_NAME + _MOST_POINTERS):
        length = message[position]
        if length >= _POINTER:
            after = after if after is not None else position + 2
            position = (length & 0x3F) << 8 | message[position + 1]
            continue
        if length == 0:
            return "".join(f"{label}." for label in labels) or ".", after if after is not None else position + 1
        label = message[position + 1 : position + 1 + length]
        labels.append("".join(f"\\{char}" if char in '."\\ ();@$' else char for char in _printable(label)))
        position += 1 + length
    raise BadMessage("a name in the reply leads in a circle")


def _printable(data: bytes) -> list[str]:
    return [chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}" for byte in data]  # noqa: PLR2004 - printable ASCII
