"""EFI programs that no machine runs: headers and sections as the PE format has them, and a signature that is none."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_ALIGNMENT, _HEADERS = 512, 1024


def efi_program(sections: Mapping[str, bytes], *, signature: bytes = b"") -> bytes:
    """A PE32+ file with these sections, each at the next sector, and a certificate table behind them."""
    rows, body = b"", b""
    for number, (name, content) in enumerate(sections.items(), start=1):
        padded = content.ljust(-(-len(content) // _ALIGNMENT) * _ALIGNMENT, b"\0")
        where = (len(content), 0x1000 * number, len(padded), _HEADERS + len(body))
        rows += struct.pack("<8sIIIIIIHHI", name.encode(), *where, 0, 0, 0, 0, 0x40000040)
        body += padded
    directories = [(0, 0)] * 16
    if signature:
        directories[4] = (_HEADERS + len(body), len(signature))
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        *(0x20B, 0, 0, 0, 0, 0, 0x1000, 0x1000, 0, 0x1000, _ALIGNMENT, 0, 0, 0, 0, 0, 0, 0),
        *(0x1000 * (len(sections) + 1), _HEADERS, 0, 10, 0, 0, 0, 0, 0, 0, len(directories)),
    ) + b"".join(struct.pack("<II", *each) for each in directories)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22E)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + coff + optional + rows
    return head.ljust(_HEADERS, b"\0") + body + signature
