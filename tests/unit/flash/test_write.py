"""Writing to files, and what the block map finds."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.command import run
from metallize.errors import HostError, UsageError
from metallize.events import Silent
from metallize.flash import flash, holds_something, is_device, write
from metallize.flash.blockmap import BLOCK_BYTES, spans
from metallize.flash.readback import past_the_cache, read_back

MIB = 1 << 20


def sparse(path: Path, *pieces: tuple[int, bytes], size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for start, content in pieces:
            file.seek(start)
            file.write(content)
    return path


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 6 * MIB), st.binary(min_size=1, max_size=64)), max_size=4),
    st.integers(7 * MIB, 8 * MIB),
)
def test_the_spans_are_the_image(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bytes]], size: int
) -> None:
    image = sparse(tmp_path_factory.mktemp("image") / "x", *pieces, size=size)
    content = image.read_bytes()
    with image.open("rb") as file:
        found = list(spans(file.fileno(), size))
    assert [span.start for span in found] == [sum(s.length for s in found[:n]) for n in range(len(found))]
    assert sum(span.length for span in found) == size
    for span in found:
        assert span.length <= BLOCK_BYTES or not span.data
        assert any(content[span.start : span.start + span.length]) == span.data
    assert not any(not a.data and not b.data for a, b in pairwise(found))


def test_a_file_gets_identical_bytes_and_stays_sparse(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), (40 * MIB + 7, b"data" * 5000), size=64 * MIB + 513)
    target = tmp_path / "card.img"
    target.write_bytes(b"what was there before" * 100)
    done = flash(image, target, Silent())
    assert target.read_bytes() == image.read_bytes()
    assert done.written_bytes <= 3 * MIB
    assert target.stat().st_blocks * 512 < 8 * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.img", "disk.img"]


def test_what_is_read_back_wrongly_is_an_error_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)

    def worn(target: int, block: bytes, start: int) -> None:
        os.pwrite(target, bytes(len(block)), start)

    monkeypatch.setattr(write, "put", worn)
    with pytest.raises(HostError, match="differs in the block at byte 0"):
        flash(image, tmp_path / "card.img", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.img"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/dev/sdzz", "there is no device"),
        ("/nowhere/card.img", "there is no folder"),
        ("/dev/null", "neither a disk nor"),
    ],
)
def test_targets_that_are_none(target: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        is_device(Path(target))


@pytest.mark.parametrize(
    "name", ["sdb", "sdb1", "mmcblk0", "mmcblk0p1", "nvme0n1", "nvme0n1p2", "vda", "disk2", "rdisk2", "loop0", "null"]
)
def test_a_disk_that_is_mistyped_becomes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)
    for target in (Path(name), tmp_path / name):
        with pytest.raises(UsageError, match=f"{name} is no disk, and a file of that name would be none") as caught:
            flash(image, target, Silent())
        assert f"/dev/{name}" in (caught.value.hint or "")
        assert f"a file: {name}.img" in (caught.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == ["disk.img"]


def test_a_new_file_has_a_suffix(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)
    with pytest.raises(UsageError, match="a new file gets a suffix") as caught:
        flash(image, tmp_path / "stick", Silent())
    assert f"{tmp_path}/stick.img" in (caught.value.hint or "")
    (tmp_path / "stick").touch()
    assert flash(image, tmp_path / "stick", Silent()).size_bytes == 2 * MIB


def test_an_image_is_not_flashed_onto_itself(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)
    (tmp_path / "same.img").hardlink_to(image)
    (tmp_path / "link.img").symlink_to(image)
    for name in ("disk.img", "same.img", "link.img"):
        with pytest.raises(UsageError, match=f"{name} is the image itself"):
            flash(image, tmp_path / name, Silent())
    assert image.read_bytes()[:4] == b"boot"


def test_what_flash_has_written_holds_nothing_of_anybody_else(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)
    card = tmp_path / "card.img"
    assert not holds_something(card)
    card.touch()
    assert not holds_something(card)
    card.write_bytes(b"a thesis")
    assert holds_something(card)
    flash(image, card, Silent())
    assert not holds_something(card)
    with card.open("r+b") as file:
        file.write(b"since then somebody booted it")
    assert holds_something(card)


def test_a_part_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)
    (tmp_path / ".card.img.part").write_bytes(b"mine")
    flash(image, tmp_path / "card.img", Silent())
    assert (tmp_path / ".card.img.part").read_bytes() == b"mine"


@pytest.mark.skipif(shutil.which("fincore") is None, reason="fincore(1) of util-linux tells what is in memory")
def test_what_is_read_back_comes_from_the_medium(tmp_path: Path) -> None:
    """Of what was read no page is in memory: it cannot have come from there."""
    image, card = tmp_path / "disk.img", tmp_path / "card.img"
    for path in (image, card):
        path.write_bytes(random.Random(1).randbytes(3 * MIB + 700))  # noqa: S311 - the same in both
    with card.open("r+b") as file, image.open("rb") as source:
        os.fsync(file.fileno())
        if not past_the_cache(file.fileno()):
            pytest.skip("this filesystem lets nobody past its cache")
        size = card.stat().st_size
        digest = read_back(source.fileno(), size, file.fileno(), card, Silent())
        cached = run(("fincore", "--raw", "--noheadings", "--output", "PAGES", card)).stdout
    assert int(cached) == 0
    assert digest == hashlib.sha256(image.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "words"), [("none", "No such file"), (".", "is no file"), ("empty", "is empty")])
def test_images_that_are_none(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match=words):
        flash(tmp_path / name, tmp_path / "card.img", Silent())
    assert not (tmp_path / "card.img").exists()
