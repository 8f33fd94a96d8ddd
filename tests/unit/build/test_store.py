"""The build folder: whole or not at all, one builder at a time, and nothing that a killed build left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from metallize.build.store import Store, write_json
from metallize.errors import HostError
from metallize.events import Note

from .conftest import Recorder


def made(folder: Path, content: bytes = b"image") -> tuple[Path, dict[str, Any]]:
    """An image in a work folder, and its manifest."""
    image = folder / "image"
    image.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return image, {"inputs": "in", "sha256": digest, "size": len(content), "format": "iso"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(build_dir=tmp_path / "build", file="my[1].iso")


def test_an_image_is_found_again(store: Store) -> None:
    with store.workspace() as work:
        stored = store.publish(*made(work))
    assert stored.path == store.image
    assert store.image.stat().st_mode & 0o777 == 0o644
    found = store.any()
    assert found is not None
    assert found.sha256 == stored.sha256
    assert sorted(path.name for path in store.build_dir.iterdir()) == [
        ".metallize",
        "my[1].iso",
        "my[1].iso.manifest.json",
    ]


def test_nothing_of_a_failed_build_stays(store: Store) -> None:
    def fail() -> None:
        with store.workspace() as work:
            made(work)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in store.build_dir.rglob("*")] == [".metallize"]


@pytest.mark.parametrize("harm", ["content", "gone", "no manifest", "broken manifest", "manifest of an older image"])
def test_an_image_that_is_not_what_its_manifest_tells_is_none(store: Store, harm: str) -> None:
    with store.workspace() as work:
        store.publish(*made(work))
    if harm == "content":
        store.image.write_bytes(b"IMAGE")
        os.utime(store.image, (1, 1))
    elif harm == "gone":
        store.image.unlink()
    elif harm == "no manifest":
        store.manifest.unlink()
    elif harm == "broken manifest":
        store.manifest.write_text("{")
    else:
        store.manifest.write_text('{"inputs": "in", "sha256": "0"}')
    assert store.any() is None


def test_a_touched_image_with_the_same_bytes_is_still_the_one(store: Store) -> None:
    with store.workspace() as work:
        store.publish(*made(work))
    os.utime(store.image, (1, 1))
    assert store.any() is not None


def test_an_image_that_failed_is_kept_out_of_sight(store: Store) -> None:
    with store.workspace() as work:
        store.publish(*made(work, b"good one"))
    with store.workspace() as work:
        stored = store.put_aside(*made(work))
    assert store.image.read_bytes() == b"good one"
    kept = store.kept()
    assert kept is not None
    assert kept.path.read_bytes() == b"image"
    assert store.put_aside(kept.path, kept.manifest).path == stored.path
    store.publish(kept.path, kept.manifest)
    assert store.image.read_bytes() == b"image"
    assert store.kept() is None


def test_what_a_killed_build_left_is_cleared_and_its_containers_first(store: Store) -> None:
    with store.locked(Recorder()):
        left = store.build_dir / ".metallize/my[1].iso.work-abc"
        left.mkdir()
        (left / "half").write_text("x")
        (store.build_dir / ".metallize/my1.iso.work-other").mkdir()
    told: list[tuple[list[str], bool]] = []
    with store.locked(Recorder(), abandon=lambda names: told.append((list(names), left.exists()))):
        assert not left.exists()
        assert (store.build_dir / ".metallize/my1.iso.work-other").exists()
    assert told == [(["my[1].iso.work-abc"], True)]


HOLD = """
import sys, fcntl, os
with open(sys.argv[1], "a+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0); lock.write(str(os.getpid())); lock.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_build_waits_and_says_for_whom(store: Store) -> None:
    with store.locked(Recorder()):
        pass
    path = store.build_dir / f".metallize/{store.file}.lock"
    recorder, entered = Recorder(), threading.Event()
    argv = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"

        def second() -> None:
            with store.locked(recorder):
                entered.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
        other.stdin.close()
        thread.join(timeout=10)
    assert entered.is_set()
    (note,) = recorder.events
    assert isinstance(note, Note)
    assert note.text == f"process {other.pid} is building {store.file}; waiting for it"


def test_one_image_is_booted_by_several_and_a_build_waits_for_them(store: Store) -> None:
    recorder, built, booted = Recorder(), threading.Event(), threading.Event()

    def build() -> None:
        with store.locked(recorder):
            built.set()

    def boot() -> None:
        with store.shared(Recorder()):
            booted.set()

    with store.shared(Recorder()):
        early = threading.Thread(target=boot)
        early.start()
        early.join(timeout=10)
        assert booted.is_set()
        booted.clear()
        builder = threading.Thread(target=build)
        builder.start()
        while not recorder.events:
            time.sleep(0.01)
        late = threading.Thread(target=boot)
        late.start()
        assert not booted.wait(0.2), "who comes after a build waits for it, or it waits for ever"
        assert not built.is_set()
    for thread in (builder, late):
        thread.join(timeout=10)
    assert built.is_set()
    assert booted.is_set()
    (note,) = recorder.events
    assert isinstance(note, Note)
    assert note.text == f"{store.file} is being verified; waiting for it"


def test_what_is_written_down_is_written_by_one_at_a_time(store: Store) -> None:
    inside, entered = threading.Event(), threading.Event()

    def second() -> None:
        inside.set()
        with store.recording():
            entered.set()

    with store.shared(Recorder()), store.recording():
        thread = threading.Thread(target=second)
        thread.start()
        assert inside.wait(10)
        assert not entered.wait(0.2)
    thread.join(timeout=10)
    assert entered.is_set()


def test_the_lock_is_free_after_a_failure(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.locked(Recorder()):
        raise ZeroDivisionError
    with (store.build_dir / f".metallize/{store.file}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_build_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be made"), Store(build_dir=tmp_path / "file", file="x").workspace():
        pass


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    write_json(target, {"a": 1})
    with pytest.raises(TypeError):
        write_json(target, {"a": object()})
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_half_a_paper_is_cleared_and_nobody_elses(store: Store) -> None:
    with store.locked(Recorder()):
        pass
    own = [".my[1].iso.manifest.json.x1", ".my[1].iso.verification.json.part"]
    others = [".my[1].iso.raw.manifest.json.x1", ".my1.iso.manifest.json.x1", "my[1].iso.manifest.json"]
    for name in (*own, *others):
        (store.build_dir / name).touch()
    with store.locked(Recorder()):
        left = {path.name for path in store.build_dir.iterdir()} - {".metallize"}
    assert left == set(others)


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "null", '{"sha256": NaN}', "{"])
def test_a_manifest_that_is_damaged_tells_of_nothing(store: Store, text: str) -> None:
    with store.workspace() as work:
        store.publish(*made(work))
    store.manifest.write_text(text)
    assert store.any() is None
    assert store.papers("x") == {}


def test_the_list_of_files_goes_where_its_image_goes(store: Store) -> None:
    """Out of a work folder, aside, and back; one of the image before does not stay."""
    with store.workspace() as work:
        image, manifest = made(work)
        (work / "files.mtree").write_text("one")
        store.publish(image, manifest)
    assert store.files.read_text() == "one"
    aside = store.put_aside(store.image, manifest)
    assert not store.files.exists()
    assert aside.path.with_name("files.mtree").read_text() == "one"
    store.publish(aside.path, manifest)
    assert store.files.read_text() == "one"
    with store.workspace() as work:
        store.publish(*made(work, b"another, whose generator tells nothing"))
    assert not store.files.exists()
