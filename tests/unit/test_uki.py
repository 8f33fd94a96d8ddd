"""A kernel image as firmware sees it: the digest by which it is known, with and without a signature."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pefile
import pytest
from virt.peutils.pesign import pe_authenticode_hash

from metallize.files import uki
from tests.signers import written
from tests.unit.build.test_two_systems import pe

IMAGE = pe({".osrel": b"ID=web\n", ".cmdline": b"quiet", ".linux": b"k" * 1500})


@contextmanager
def opened(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDWR)
    try:
        yield number
    finally:
        os.close(number)


def file(folder: Path, content: bytes = IMAGE) -> Path:
    path = folder / "kernel.efi"
    path.write_bytes(content)
    return path


def signed(path: Path) -> Path:
    target = path.with_suffix(".signed")
    written(path.parent, "mine")
    key, public = path.with_name("mine.key"), path.with_name("mine.pem")
    argv = ("osslsigncode", "sign", "-h", "sha256", "-certs", public, "-key", key, "-in", path, "-out", target)
    subprocess.run(argv, check=True, capture_output=True)
    return target


@pytest.mark.parametrize("content", [IMAGE, IMAGE + b"behind its sections"])
def test_a_digest_is_what_others_make_of_it(content: bytes, tmp_path: Path) -> None:
    path = file(tmp_path, content.ljust(-(-len(content) // 8) * 8, b"\0"))
    with opened(path) as number:
        assert uki.authenticode(number) == pe_authenticode_hash(pefile.PE(name=str(path))).hex()


@pytest.mark.slow  # osslsigncode signs
def test_a_signature_is_no_part_of_the_digest_and_can_be_taken_off(tmp_path: Path) -> None:
    path = file(tmp_path)
    with opened(path) as plain, opened(signed(path)) as number:
        assert uki.authenticode(number) == uki.authenticode(plain)
        assert os.fstat(number).st_size > len(IMAGE)
        uki.remove_signature(number)
        assert uki.authenticode(number) == uki.authenticode(plain)
        assert os.fstat(number).st_size == len(IMAGE)
        uki.remove_signature(number)
        assert os.fstat(number).st_size == len(IMAGE), "once is all"


def test_a_section_at_the_end_leaves_as_much_to_the_rest_as_the_sum_says(tmp_path: Path) -> None:
    """As EDK II has it (DxeImageVerificationLib, HashPeImage): from the sum of what was hashed to the file's end."""
    path = file(tmp_path)
    with opened(path) as number:
        before = uki.authenticode(number)
        uki.replace_section(number, ".cmdline", b"quiet panic=10")
        spans = list(uki._measured(number))
        assert uki.authenticode(number) != before
    header = struct.unpack_from("<I", IMAGE, 0x3C)[0]
    checksum, row = header + 88, header + 24 + 112 + 32
    assert spans == [
        (0, checksum), (checksum + 4, row), (row + 8, 1024),
        (1024, 1536), (2048, 3584), (3584, 4096), (3584, 4096),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_signature_in_the_middle_stays(tmp_path: Path) -> None:
    path = signed(file(tmp_path))
    path.write_bytes(path.read_bytes() + b"more")
    with opened(path) as number, pytest.raises(ValueError, match="not at its end"):
        uki.remove_signature(number)


@pytest.mark.parametrize("content", [b"", b"MZ", b"\x7fELF".ljust(4096, b"\0"), IMAGE[:80]])
def test_what_is_no_program_for_firmware_is_told(content: bytes, tmp_path: Path) -> None:
    with opened(file(tmp_path, content)) as number:
        for look in (uki.authenticode, uki.remove_signature):
            with pytest.raises(ValueError, match="PE file"):
                look(number)
