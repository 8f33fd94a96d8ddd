"""What a file is by its content, and whether all of an image is there."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from metallize.errors import UsageError
from metallize.files.image_format import CD_SECTOR, SECTOR, cut_short, format_of
from metallize.model.profile import ImageFormat

GIB = 1 << 30


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"QFI\xfb" + bytes(100), ImageFormat.QCOW2),
        (b"KDMV" + bytes(100), ImageFormat.VMDK),
        (b"vhdxfile" + bytes(100), ImageFormat.VHDX),
        (bytes(257) + b"ustar\x0000" + bytes(300), ImageFormat.TAR),
        (bytes(16 * CD_SECTOR) + b"\x01CD001" + bytes(100), ImageFormat.ISO),
        (b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa", ImageFormat.RAW),
        (b"GRUB GeomHard DiskReadError" + bytes(483) + b"\x55\xaa", ImageFormat.RAW),
    ],
)
def test_an_image_is_what_it_begins_as(tmp_path: Path, content: bytes, expected: ImageFormat) -> None:
    image = tmp_path / "image.xz"  # its name means nothing
    image.write_bytes(content)
    assert format_of(image) is expected


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"", "is empty", "image file"),
        (b"\xfd7zXZ\0" + bytes(600), "compressed with xz", "unxz --keep"),
        (b"\x1f\x8b\x08" + bytes(600), "compressed with gzip", "gunzip --keep"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed with zstd", "unzstd"),
        (b"BZh91AY" + bytes(600), "compressed with bzip2", "bunzip2"),
        (b"PK\x03\x04" + bytes(600), "a zip archive", "unzip"),
        (b"conectix" + bytes(600), "a VHD", "qemu-img convert"),
        (b"<<< VDI >>>" + bytes(0x35) + b"\x7f\x10\xda\xbe" + bytes(600), "a VDI", "qemu-img convert"),
        (b"<html>\n404 Not Found\n</html>\n" * 30, "but text: <html>", "download"),
        (b"Not Found\n", "but text: Not Found", "download"),
    ],
)
def test_what_no_machine_boots_is_named(tmp_path: Path, content: bytes, said: str, hint: str) -> None:
    image = tmp_path / "image.img"
    image.write_bytes(content)
    with pytest.raises(UsageError, match=said) as raised:
        format_of(image)
    assert raised.value.hint is not None
    assert hint in raised.value.hint


def iso(path: Path, blocks: int) -> Path:
    descriptor = b"\x01CD001\x01\0" + bytes(72) + struct.pack("<I", blocks) + struct.pack(">I", blocks)
    path.write_bytes(bytes(16 * CD_SECTOR) + descriptor.ljust(CD_SECTOR, b"\0"))
    return path


def gpt(path: Path, *last_sectors: int) -> Path:
    header = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 4, 128)
    entries = b"".join(b"\x01" * 16 + bytes(16) + struct.pack("<QQ", 2048, last) + bytes(80) for last in last_sectors)
    path.write_bytes(bytes(SECTOR) + header.ljust(SECTOR, b"\0") + entries.ljust(512, b"\0"))
    return path


def sized(path: Path, size: int) -> Path:
    with path.open("r+b") as image:
        image.truncate(size)
    return path


def test_an_iso_is_cut_short_where_it_is_smaller_than_its_volume(tmp_path: Path) -> None:
    whole = sized(iso(tmp_path / "image.iso", 1000), 1000 * CD_SECTOR)
    assert cut_short(whole, ImageFormat.ISO) == ""
    cut = sized(whole, 1000 * CD_SECTOR - 1)
    assert cut_short(cut, ImageFormat.ISO).startswith("the image is cut short (its volume ends at byte 2048000")


def test_a_disk_is_cut_short_where_it_is_smaller_than_its_last_partition(tmp_path: Path) -> None:
    whole = sized(gpt(tmp_path / "image.img", 4095, 99_999), 100_000 * SECTOR)
    assert cut_short(whole, ImageFormat.RAW) == ""  # the table's second copy may be missing: nothing boots from it
    cut = sized(whole, GIB // 100)
    assert "its last partition ends at byte 51200000" in cut_short(cut, ImageFormat.RAW)


@pytest.mark.parametrize(
    "content", [b"", bytes(600), b"\0" * 512 + b"EFI PART", b"\0" * 512 + b"EFI PART" + b"\xff" * 84]
)
def test_what_tells_no_size_is_not_cut_short(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image.img"
    image.write_bytes(content)
    assert cut_short(image, ImageFormat.RAW) == ""
    assert cut_short(image, ImageFormat.ISO) == ""
