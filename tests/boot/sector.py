"""Guests of one sector: they print a text on COM1 and then do one thing."""

from __future__ import annotations

from pathlib import Path

HANG = bytes.fromhex("f4 eb fd")
"""hlt, for ever."""
RESET = bytes.fromhex("b0 fe e6 64 f4 eb fd")
"""The keyboard controller's reset line."""
POWER_OFF = bytes.fromhex("ba 04 06 b8 00 20 ef f4 eb fd")
"""ACPI S5, by q35's PM1a control register."""
LOOP = b"loop"
"""Print the text again."""

_PRINT = bytes.fromhex(
    "fa"  # cli: the BIOS still has something to print, and would at the next tick of its clock
    "31 c0"  # xor ax, ax
    "8e d8"  # mov ds, ax
    "be 00 7d"  # mov si, 0x7d00
    "ba f8 03"  # mov dx, 0x3f8
    "ac"  # lodsb
    "84 c0"  # test al, al
    "74 03"  # jz end
    "ee"  # out dx, al
    "eb f8"  # jmp to lodsb
)


def boot_sector(text: str, then: bytes = HANG) -> bytes:
    """512 bytes that a BIOS boots: the code at its start, the text from byte 256 on."""
    if then == LOOP:
        then = bytes([0xEB, 0x100 - len(_PRINT) - 2])
    body = text.encode() + b"\0"
    if len(body) > 510 - 256:
        raise ValueError("the text does not fit into the sector")
    return (_PRINT + then).ljust(256, b"\0") + body.ljust(510 - 256, b"\0") + b"\x55\xaa"


def tiny_image(folder: Path, text: str, then: bytes = HANG) -> Path:
    """A raw disk of 1 MiB, for a BIOS reads no disk that is smaller than a cylinder."""
    path = folder / "tiny.img"
    path.write_bytes(boot_sector(text, then).ljust(1 << 20, b"\0"))
    return path
