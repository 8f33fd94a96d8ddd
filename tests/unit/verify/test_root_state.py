"""The root filesystem as a reason, from what the probe printed."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.verify.root_state import explain_root

BLOCKS = "/dev/vda3          7157204 600000   6000000      10% /"
INODES = "/dev/vda3           458752  20000    438752       5% /"


def explained(*lines: str) -> str:
    return explain_root(Observation(status=0, stdout="\n".join(lines) + "\n", stderr="", seconds=0.1))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("ext4 ro,relatime", BLOCKS, INODES), "(ext4) is mounted read-only"),
        (("ext4 rw", "/dev/vda3 700000 693000 0 100% /", INODES), "is full: 0 of 700000 are free"),
        (("ext4 rw", BLOCKS, "/dev/vda3 46000 46000 0 100% /"), "is full of inodes"),
        (("ext4 rw", "/dev/vda3 700000 699990 -7 101% /", INODES), "is full: -7"),
    ],
)
def test_what_is_wrong_is_said(lines: tuple[str, ...], words: str) -> None:
    assert words in explained(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        ("ext4 rw,relatime,errors=remount-ro", BLOCKS, INODES),
        ("overlay rw", "overlay 500000 100 499900 1% /", "overlay - - - - /"),
        ("btrfs rw", BLOCKS, "/dev/vda3 0 0 0 - /"),
        ("ext4 rw",),
        ("",),
    ],
)
def test_a_root_that_is_well_explains_nothing(lines: tuple[str, ...]) -> None:
    assert explained(*lines) == ""


def test_nothing_observed_is_survived() -> None:
    assert explain_root(None) == ""
