"""A NoCloud seed: the small CD from which cloud-init takes what a cloud would tell it (cloud-init's docs, NoCloud).

The file system is ISO 9660 (ECMA-119), made here because it needs so little of it: one folder of small files, their
names as they are, which Linux reads without an extension. Written with Python's own modules alone: repro.sh carries it.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from pathlib import Path

LABEL = "cidata"
_SECTOR = 2048
_ROOT_SECTOR = 20
_NO_DATE = bytes(7)
_DEFAULTS = {"meta-data": "instance-id: metallize\n", "user-data": "#cloud-config\n{}\n"}
"""Files that must be there, or cloud-init takes no notice of the seed."""


def seed_image(files: Mapping[str, str]) -> bytes:
    """The CD with these files, by name; the same files give the same bytes."""
    contents = {name: text.encode() for name, text in sorted({**_DEFAULTS, **files}.items())}
    sector = _ROOT_SECTOR + 1
    records, data = b"", b""
    for name, content in contents.items():
        records += _record(name.encode(), sector, len(content))
        padded = _padded(content)
        data += padded
        sector += len(padded) // _SECTOR
    root = _record(b"\0", _ROOT_SECTOR, _SECTOR, folder=True)
    parent = _record(b"\1", _ROOT_SECTOR, _SECTOR, folder=True)
    tables = [struct.pack(order + "BBIHBB", 1, 0, _ROOT_SECTOR, 1, 0, 0) for order in ("<", ">")]
    return b"".join(
        (
            bytes(16 * _SECTOR),
            _padded(_volume(root, sector)),
            _padded(b"\xffCD001\1"),
            *(_padded(table) for table in tables),
            _padded(root + parent + records),
            data,
        )
    )


def _both(number: int, size: str = "I") -> bytes:
    """A number in both byte orders (ECMA-119, 7.2.3 and 7.3.3)."""
    return struct.pack(f"<{size}", number) + struct.pack(f">{size}", number)


def _record(name: bytes, sector: int, size: int, *, folder: bool = False) -> bytes:
    """One entry of a folder (ECMA-119, 9.1)."""
    body = bytes((0,)) + _both(sector) + _both(size) + _NO_DATE + bytes((2 if folder else 0, 0, 0))
    body += _both(1, "H") + bytes((len(name),)) + name
    body += b"\0" if len(body) % 2 == 0 else b""
    return bytes((len(body) + 1,)) + body


def _volume(root: bytes, sectors: int) -> bytes:
    """The primary volume descriptor (ECMA-119, 8.4)."""
    return b"".join(
        (
            b"\1CD001\1\0",
            b" " * 32,
            LABEL.encode().ljust(32),
            bytes(8) + _both(sectors) + bytes(32),
            _both(1, "H") + _both(1, "H") + _both(_SECTOR, "H"),
            _both(10),  # bytes of a path table: the root alone
            struct.pack("<II", 18, 0) + struct.pack(">II", 19, 0),
            root,
            b" " * (128 * 4 + 37 * 3),
            (b"0" * 16 + b"\0") * 4,
            b"\1\0",
        )
    )


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _SECTOR)


if __name__ == "__main__":  # repro.sh carries this file: FOLDER ISO NAME...
    told = {name: (Path(sys.argv[1]) / name).read_text(encoding="utf-8") for name in sys.argv[3:]}
    Path(sys.argv[2]).write_bytes(seed_image(told))
