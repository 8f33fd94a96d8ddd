"""What control groups leave of a host, of both versions and however little of them can be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metallize.host.share import usable_cores, usable_memory_bytes

WHOLE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/a/b\n", {}, WHOLE),
        ("0::/a/b\n", {"cpu.max": "max 100000"}, WHOLE),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "190000 100000", "a/cpu.max": "max 100000"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 0"}, WHOLE),
        ("0::/a/b\n", {"a/b/cpu.max": ""}, WHOLE),
        ("0::/a/b\n", {"a/b/cpu.max": "-1 what"}, WHOLE),
        ("0::/../../x\n", {"cpu.max": "100000 100000"}, 1),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, WHOLE),
        ("", {}, WHOLE),
        ("rubbish\n", {}, WHOLE),
    ],
)
def test_cores(tmp_path: Path, membership: str, files: dict[str, str], cores: int) -> None:
    assert usable_cores(*groups(tmp_path, membership, files)) == cores


def groups(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    root = folder / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (folder / "membership").write_text(membership)
    return root, folder / "membership"


def test_memory_is_the_least_of_the_limits(tmp_path: Path) -> None:
    files = {"a/memory.max": "2000000", "a/b/memory.max": "max", "memory.max": "3000000"}
    assert usable_memory_bytes(*groups(tmp_path, "0::/a/b\n", files)) == 2_000_000


def test_a_host_without_control_groups_is_taken_whole(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, tmp_path / "none") == WHOLE
    assert usable_memory_bytes(tmp_path, tmp_path / "none") >= 1 << 20
