"""A raw disk in a container format, the same bytes for the same disk: qemu-img, and what it makes at random fixed.

Sources: VMDK - VMware, Virtual Disk Format 5.0, "Hosted sparse extents" and "The descriptor file"; VHDX - [MS-VHDX]
2.2.2 (headers), 2.2.3 (region table), 2.3 (log), 2.6 (metadata region).
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from metallize_os.job import tool

_SECTOR = 512
_VHDX_HEADERS = (0x10000, 0x20000)
_VHDX_REGION_TABLE = 0x30000
_VHDX_HEADER_BYTES = 4096
_METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_PAGE_83_DATA = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
"""The metadata item that names the disk itself."""


def convert(raw: Path, target: Path, image_format: str, identity: str, *, compress: bool = False) -> None:
    """Write `raw` as `image_format` to `target`; `identity` (a UUID) is what the format names the disk by.

    `compress` packs the clusters of a qcow2 with zlib, which every QEMU and every cloud reads.
    """
    # One coroutine, in order: the clusters of two builds stand in the same places.
    packing = ("-c",) if compress else ()
    tool("qemu-img", "convert", *packing, "-m", "1", "-f", "raw", "-O", image_format, raw, target)
    with target.open("r+b") as disk:
        if image_format == "vmdk":
            settle_vmdk(disk, uuid.UUID(identity))
        elif image_format == "vhdx":
            settle_vhdx(disk, uuid.UUID(identity))


def settle_vmdk(disk: BinaryIO, identity: uuid.UUID) -> None:
    """Set the content id, which is random, in the descriptor that a monolithic sparse extent embeds."""
    disk.seek(28)
    offset, size = (sectors * _SECTOR for sectors in struct.unpack("<QQ", disk.read(16)))
    disk.seek(offset)
    text = disk.read(size).rstrip(b"\0")
    settled, count = re.subn(rb"(?m)^CID=[0-9a-f]+$", b"CID=%08x" % (identity.int >> 96), text)
    if count != 1:
        raise ValueError("the VMDK descriptor has no content id")
    disk.seek(offset)
    disk.write(settled.ljust(size, b"\0"))


def settle_vhdx(disk: BinaryIO, identity: uuid.UUID) -> None:
    """Set the ids of file, data and disk, which are random, and clear the log, whose entries have all been applied."""
    headers = {offset: _read(disk, offset, _VHDX_HEADER_BYTES) for offset in _VHDX_HEADERS}
    by_age = sorted(headers, key=lambda offset: int.from_bytes(headers[offset][8:16], "little"))
    for sequence, offset in enumerate(by_age, start=1):
        header = bytearray(headers[offset])
        log_bytes, log_offset = struct.unpack_from("<IQ", header, 68)
        if header[:4] != b"head" or any(header[48:64]):
            raise ValueError("the VHDX image was not closed: its log is in use")
        header[4:16] = struct.pack("<IQ", 0, sequence)
        header[16:48] = identity.bytes_le * 2
        header[4:8] = struct.pack("<I", crc32c(header))
        _write(disk, offset, header)
        _write(disk, log_offset, bytes(log_bytes))
    _write(disk, _page_83_data(disk), identity.bytes_le)


def _page_83_data(disk: BinaryIO) -> int:
    """The offset of the disk's id: an item of the metadata region, which the region table places."""
    regions = dict(_table(disk, _VHDX_REGION_TABLE, header_bytes=16, count_at=8, count_format="<I"))
    metadata = struct.unpack("<Q", regions[_METADATA_REGION][:8])[0]
    items = dict(_table(disk, metadata, header_bytes=32, count_at=10, count_format="<H"))
    return int(metadata + struct.unpack("<I", items[_PAGE_83_DATA][:4])[0])


def _table(
    disk: BinaryIO, offset: int, *, header_bytes: int, count_at: int, count_format: str
) -> Iterator[tuple[uuid.UUID, bytes]]:
    """The entries of a table: 32 bytes each, a GUID first."""
    table = _read(disk, offset, 1 << 16)
    count = struct.unpack_from(count_format, table, count_at)[0]
    for start in range(header_bytes, header_bytes + 32 * count, 32):
        yield uuid.UUID(bytes_le=table[start : start + 16]), table[start + 16 : start + 32]


def _read(disk: BinaryIO, offset: int, size: int) -> bytes:
    disk.seek(offset)
    return disk.read(size)


def _write(disk: BinaryIO, offset: int, content: bytes | bytearray) -> None:
    disk.seek(offset)
    disk.write(content)


def crc32c(content: bytes | bytearray) -> int:
    """CRC-32C (Castagnoli), reflected: RFC 3720, appendix B.4."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
