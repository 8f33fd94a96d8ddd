"""Writing to files, and what the block map finds."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.errors import HostError, UsageError
from metallize.events import Silent
from metallize.flash import flash, is_device, write
from metallize.flash.blockmap import BLOCK_BYTES, spans

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
    target = tmp_path / "card"
    target.write_bytes(b"what was there before" * 100)
    done = flash(image, target, Silent())
    assert target.read_bytes() == image.read_bytes()
    assert done.written_bytes <= 3 * MIB
    assert target.stat().st_blocks * 512 < 8 * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "disk.img"]


def test_what_is_read_back_wrongly_is_an_error_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sparse(tmp_path / "disk.img", (0, b"boot"), size=2 * MIB)

    def worn(target: int, block: bytes, start: int) -> None:
        os.pwrite(target, bytes(len(block)), start)

    monkeypatch.setattr(write, "_put", worn)
    with pytest.raises(HostError, match="differs in the block at byte 0"):
        flash(image, tmp_path / "card", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.img"]


@pytest.mark.parametrize(
    ("target", "words"),
    [("/dev/sdzz", "there is no device"), ("/nowhere/card", "there is no folder"), ("/dev/null", "neither a disk nor")],
)
def test_targets_that_are_none(target: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        is_device(Path(target))


@pytest.mark.parametrize(("name", "words"), [("none", "No such file"), (".", "is no file"), ("empty", "is empty")])
def test_images_that_are_none(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match=words):
        flash(tmp_path / name, tmp_path / "card", Silent())
    assert not (tmp_path / "card").exists()
