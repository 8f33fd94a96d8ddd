"""A folder that is gone whatever ends its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from metallize.files.vanishing import remove_if_left, vanishing_folder

OWNER = """
import sys, time
from pathlib import Path
from metallize.files.vanishing import vanishing_folder
with vanishing_folder(Path(sys.argv[1]), ".held-") as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


def gone(folder: Path) -> bool:
    until = time.monotonic() + 10
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not folder.exists()


def test_it_is_gone_on_leaving(tmp_path: Path) -> None:
    with vanishing_folder(tmp_path, ".held-") as folder:
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.iterdir())


def test_it_is_gone_after_kill_9_of_the_owner_and_its_whole_group(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert (folder / "deep" / "file").exists()
        os.killpg(owner.pid, signal.SIGKILL)
    assert gone(folder)


def test_the_next_run_removes_what_a_dead_owner_left_and_nothing_else(tmp_path: Path) -> None:
    left, other, link = tmp_path / ".held-abcdefgh", tmp_path / ".held-of-mine", tmp_path / ".held-zzzzzzzz"
    left.mkdir()
    other.mkdir()
    link.symlink_to(other)
    for folder in (left, other):
        os.utime(folder, (0, 0))
    with vanishing_folder(tmp_path, ".held-") as held:
        assert not left.exists()
        assert other.exists()
        assert link.is_symlink()
        assert not remove_if_left(held, ".held-", young_seconds=0), "its owner lives"
