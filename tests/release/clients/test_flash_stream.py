"""An image that comes piece by piece: a disk is good once all of it is there, and begins with zeros until then."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.events import Silent
from metallize.flash import Flashed, flash_stream, stream
from metallize.flash.blockmap import BLOCK_BYTES
from tests.release.clients.serving import IMAGE

pytestmark = pytest.mark.slow
MIB = 1 << 20


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def arrive(path: Path, what: Iterator[bytes], size: int = len(IMAGE)) -> Flashed:
    """As onto a disk: what a filesystem does of itself for a file is not done."""
    with path.open("r+b") as file:
        return stream._Arrival(file.fileno(), path, size, device=True).written(
            what, hashlib.sha256(IMAGE).hexdigest(), Silent()
        )


@pytest.mark.parametrize("size", [4095, MIB, MIB + 1, 9 * MIB])
def test_a_disk_gets_the_image_however_it_is_cut_and_its_holes_are_zeros(tmp_path: Path, size: int) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xff" * (8 * MIB))
    arrive(disk, pieces(IMAGE, size))
    assert disk.read_bytes()[: len(IMAGE)] == IMAGE
    assert disk.read_bytes()[len(IMAGE) :].strip(b"\xff") == b""


@pytest.mark.parametrize("cut", [0, 10, MIB, len(IMAGE) - 1])
def test_a_disk_whose_image_did_not_come_whole_begins_with_zeros(tmp_path: Path, cut: int) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xff" * (8 * MIB))

    def broken() -> Iterator[bytes]:
        yield IMAGE[:cut]
        raise HostError("the server is gone")

    with pytest.raises(HostError, match="gone"):
        arrive(disk, broken())
    assert disk.read_bytes()[:BLOCK_BYTES].strip(b"\0") == b""
    with pytest.raises(HostError, match="what came is not the image"):
        arrive(disk, iter((IMAGE[:cut],)))
    with pytest.raises(HostError, match=r"what came is not the image|more comes"):
        arrive(disk, iter((IMAGE + b"x",)))
    assert disk.read_bytes()[:BLOCK_BYTES].strip(b"\0") == b""


def test_a_disk_that_reads_back_otherwise_begins_with_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xff" * (8 * MIB))
    monkeypatch.setattr(stream, "read_back", lambda *_: "another digest")
    with pytest.raises(HostError, match="does not hold what was written"):
        arrive(disk, pieces(IMAGE, MIB))
    assert disk.read_bytes()[:BLOCK_BYTES].strip(b"\0") == b""


def test_the_image_is_never_in_memory_whole(tmp_path: Path) -> None:
    size = 48 * MIB
    block = random.Random(1).randbytes(MIB)  # noqa: S311 - no secret
    digest = hashlib.sha256(block * 48).hexdigest()
    tracemalloc.start()
    try:
        flash_stream((block for _ in range(48)), size, digest, tmp_path / "card.img", Silent())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
