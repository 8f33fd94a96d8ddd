"""Holes and data of sparse files, and the digest that skips holes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.build.generator import sha256_of
from metallize.files.sparse import extents

MIB = 1 << 20


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5 * MIB), st.binary(min_size=1, max_size=99)), max_size=4), st.integers(0, 99))
def test_extents_and_digest(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bytes]], tail: int
) -> None:
    path = tmp_path_factory.mktemp("sparse") / "file"
    with path.open("wb") as file:
        for start, content in pieces:
            file.seek(start)
            file.write(content)
        file.truncate(path.stat().st_size and 6 * MIB + tail)
    content = path.read_bytes()
    with path.open("rb") as opened:
        found = list(extents(opened.fileno(), len(content)))
    assert [extent.start for extent in found] == [sum(e.length for e in found[:n]) for n in range(len(found))]
    assert sum(extent.length for extent in found) == len(content)
    assert all(not any(content[e.start : e.start + e.length]) for e in found if e.hole)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_hole_is_seen_as_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(4 * MIB)
        file.write(b"x")
    with path.open("rb") as opened:
        assert [extent.hole for extent in extents(opened.fileno(), 8 * MIB)] == [True, False, True]
