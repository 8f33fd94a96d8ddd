"""Container formats: what qemu-img makes at random is fixed, and nothing else is touched."""

from __future__ import annotations

import io
import struct
import uuid

import pytest
from metallize_os import disk_formats

ID = uuid.UUID("ab38bad4-b828-54c9-961f-1c4d7226d59d")
DESCRIPTOR = b'# Disk DescriptorFile\nversion=1\nCID=%b\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'


def vmdk(content_id: bytes) -> io.BytesIO:
    """A sparse extent's header with its descriptor at sector 1, and data behind it."""
    header = (b"KDMV" + bytes(24) + struct.pack("<QQ", 1, 2)).ljust(512, b"\0")
    return io.BytesIO(header + (DESCRIPTOR % content_id).ljust(1024, b"\0") + b"data")


@pytest.mark.parametrize("content_id", [b"f2104123", b"7", b"123456"])
def test_a_vmdk_has_the_content_id_of_its_disk(content_id: bytes) -> None:
    disk, other = vmdk(content_id), vmdk(b"0")
    disk_formats.settle_vmdk(disk, ID)
    disk_formats.settle_vmdk(other, ID)
    assert disk.getvalue() == other.getvalue()
    assert b"\nCID=ab38bad4\nparentCID=ffffffff\n" in disk.getvalue()
    assert disk.getvalue().endswith(b"data")


def test_a_vmdk_without_a_content_id() -> None:
    disk = io.BytesIO(vmdk(b"1").getvalue().replace(b"CID=1", b"XID=1"))
    with pytest.raises(ValueError, match="no content id"):
        disk_formats.settle_vmdk(disk, ID)


def vhdx(seed: int, *, log_id: bytes = bytes(16)) -> io.BytesIO:
    """The parts of a VHDX that matter: two headers, a region table, a metadata table, a log."""
    disk = bytearray(b"\x5a" * 0x400000)
    for offset, sequence in ((0x10000, seed + 1), (0x20000, seed)):
        header = struct.pack("<4sIQ", b"head", seed, sequence) + bytes([seed % 251]) * 32 + log_id
        disk[offset : offset + 4096] = (header + struct.pack("<HHIQ", 0, 1, 0x1000, 0x100000)).ljust(4096, b"\0")
    disk[0x100000:0x101000] = bytes([seed % 251]) * 0x1000
    regions = [(uuid.uuid5(ID, "bat"), 0x200000), (disk_formats._METADATA_REGION, 0x300000)]
    table = struct.pack("<4sIII", b"regi", 0, len(regions), 0)
    table += b"".join(each.bytes_le + struct.pack("<QII", offset, 0x10000, 1) for each, offset in regions)
    disk[0x30000 : 0x30000 + len(table)] = table
    items = struct.pack("<8sHH20s", b"metadata", 0, 1, b"")
    items += disk_formats._PAGE_83_DATA.bytes_le + struct.pack("<IIII", 0x10000, 16, 0, 0)
    disk[0x300000 : 0x300000 + len(items)] = items
    disk[0x310000:0x310010] = bytes([seed % 251]) * 16
    return io.BytesIO(bytes(disk))


def test_a_vhdx_has_the_ids_of_its_disk_and_an_empty_log() -> None:
    disk, other = vhdx(7), vhdx(1000)
    disk_formats.settle_vhdx(disk, ID)
    disk_formats.settle_vhdx(other, ID)
    content = disk.getvalue()
    assert content == other.getvalue()
    assert content[0x310000:0x310010] == ID.bytes_le
    assert not any(content[0x100000:0x101000])
    for offset, sequence in ((0x10000, 2), (0x20000, 1)):
        header = bytearray(content[offset : offset + 4096])
        assert struct.unpack_from("<Q", header, 8) == (sequence,)
        (checksum,) = struct.unpack_from("<I", header, 4)
        header[4:8] = bytes(4)
        assert disk_formats.crc32c(header) == checksum
    assert content[0x101000:0x200000] == b"\x5a" * 0xFF000


def test_a_vhdx_with_a_log_in_use_is_refused() -> None:
    with pytest.raises(ValueError, match="was not closed"):
        disk_formats.settle_vhdx(vhdx(7, log_id=ID.bytes), ID)


def test_the_checksum_of_the_standard() -> None:
    assert disk_formats.crc32c(b"123456789") == 0xE3069283
    assert disk_formats.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
