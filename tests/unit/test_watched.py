"""What has changed below some folders: seen, and waited for until whoever writes has finished."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from metallize.files.watched import Watched, changes


def watched(*roots: Path, ignored: tuple[Path, ...] = ()) -> Watched:
    return Watched(roots=frozenset(roots), ignored=frozenset(ignored))


def names(found: tuple[Path, ...], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_every_kind_of_change_is_seen(tmp_path: Path) -> None:
    kinds = ("content", "mode", "replaced", "gone", "same", "deep/er")
    (tmp_path / "deep").mkdir()
    for name in kinds:
        (tmp_path / name).write_text("x")
    place = watched(tmp_path)
    before = place.look()
    assert changes(before, place.look()) == ()
    (tmp_path / "content").write_text("y!")
    (tmp_path / "mode").chmod(0o700)
    (tmp_path / "other").write_text("x")
    os.utime(tmp_path / "other", ns=(0, (tmp_path / "replaced").stat().st_mtime_ns))
    (tmp_path / "other").replace(tmp_path / "replaced")
    (tmp_path / "gone").unlink()
    (tmp_path / "new, ä").touch()
    (tmp_path / "deep/er").write_text("zz")
    assert names(changes(before, place.look()), tmp_path) == [
        "content", "deep/er", "gone", "mode", "new, ä", "replaced",
    ]  # fmt: skip


def test_what_editors_and_builds_write_does_not_count(tmp_path: Path) -> None:
    for folder in ("build/runs", ".git", "src/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x").touch()
    for name in ("web.yaml~", ".#web.yaml", "#web.yaml#", ".web.yaml.swp", ".web.yaml.swx", "4913"):
        (tmp_path / name).touch()
    for name in ("web.yaml", ".dockerignore", ".config", "web.swp"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = watched(tmp_path, ignored=(tmp_path / "build",)).look()
    assert sorted(Path(path).name for path in found) == [".config", ".dockerignore", "web.swp", "web.yaml"]


def test_a_single_file_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    place = watched(one, other)
    before = place.look()
    assert list(before) == [str(one)]
    other.touch()
    (tmp_path / "third").touch()
    assert changes(before, place.look()) == (other,)


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/web.yaml").symlink_to(real)
    place = watched(tmp_path / "folder")
    before = place.look()
    real.write_text("other")
    assert names(changes(before, place.look()), tmp_path) == ["folder/web.yaml"]


def test_other_folders_are_taken_over(tmp_path: Path) -> None:
    """What was watched all along is compared with then, what was not with now, and what is not any more not at all."""
    for name in ("stays", "goes", "comes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    old, new = watched(tmp_path / "stays", tmp_path / "goes"), watched(tmp_path / "stays", tmp_path / "comes")
    before = old.look()
    (tmp_path / "stays/file").write_text("while it was built")
    (tmp_path / "stays/new").write_text("too")
    (tmp_path / "goes/file").unlink()
    found = changes(new.taken_over(before, old), new.look())
    assert names(found, tmp_path) == ["stays/file", "stays/new"]


@pytest.mark.slow
def test_whoever_is_still_writing_is_waited_for(tmp_path: Path) -> None:
    place = watched(tmp_path)
    before = place.look()

    def write() -> None:
        for number in range(12):
            time.sleep(0.1)
            (tmp_path / str(number)).touch()

    writer = threading.Thread(target=write)
    writer.start()
    found = place.wait(before)
    writer.join()
    assert len(found) == 12


@pytest.mark.slow
def test_what_is_put_back_as_it_was_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    place = watched(tmp_path)
    before = place.look()
    (tmp_path / "other").touch()
    (tmp_path / "other").unlink()
    threading.Timer(1.5, (tmp_path / "last").touch).start()
    assert place.wait(before) == (tmp_path / "last",)
