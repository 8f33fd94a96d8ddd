"""The build folder: whole or not at all, one builder at a time, and nothing that a killed build left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from metallize.build.store import Store, as_disk_image, write_json
from metallize.errors import HostError, VerificationFailed
from metallize.events import Note
from metallize.publish import publish, verified_image

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


def test_an_image_is_found_again_by_its_inputs(store: Store) -> None:
    with store.workspace() as work:
        stored = store.publish(*made(work), None)
    assert stored.path == store.image
    assert store.image.stat().st_mode & 0o777 == 0o644
    found = store.current("in")
    assert found is not None
    assert as_disk_image(found).sha256 == stored.sha256
    assert store.current("other") is None
    assert sorted(path.name for path in store.build_dir.iterdir()) == [
        ".metallize",
        "my[1].iso",
        "my[1].iso.manifest.json",
    ]


def test_the_papers_of_an_image_go_before_the_next_one_comes(store: Store) -> None:
    with store.workspace() as work:
        store.publish(*made(work), {"verdict": "passed"})
    assert store.verification.exists()
    with store.workspace() as work:
        store.publish(*made(work, b"next"), None)
    assert not store.verification.exists()


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
        store.publish(*made(work), None)
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
    assert store.current("in") is None
    assert store.any() is None


def test_a_touched_image_with_the_same_bytes_is_still_the_one(store: Store) -> None:
    with store.workspace() as work:
        store.publish(*made(work), None)
    os.utime(store.image, (1, 1))
    assert store.current("in") is not None


def test_an_image_that_failed_is_kept_out_of_sight(store: Store) -> None:
    with store.workspace() as work:
        store.publish(*made(work, b"good one"), None)
    with store.workspace() as work:
        stored = store.put_aside(*made(work))
    assert store.image.read_bytes() == b"good one"
    kept = store.kept("in")
    assert kept is not None
    assert kept.path.read_bytes() == b"image"
    assert store.put_aside(kept.path, kept.manifest).path == stored.path
    store.publish(kept.path, kept.manifest, {"verdict": "passed"})
    assert store.image.read_bytes() == b"image"
    assert store.kept("in") is None


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


def verified(store: Store, **changes: object) -> None:
    """An image in its place with a verification that passed, or what `changes` makes of it."""
    with store.workspace() as work:
        image, manifest = made(work)
        store.publish(image, manifest, {"verdict": "passed", "sha256": manifest["sha256"], **changes})


def test_a_verified_image_is_published_with_its_papers(store: Store, tmp_path: Path) -> None:
    verified(store)
    target = tmp_path / "to" / "deep"
    paths = publish(verified_image(store), target)
    assert [path.name for path in paths] == [store.file, store.manifest.name, store.verification.name]
    assert sorted(target.iterdir()) == sorted(paths)
    assert paths[0].read_bytes() == b"image"


def test_what_is_not_verified_is_not_published(store: Store) -> None:
    with pytest.raises(VerificationFailed, match="there is no"):
        verified_image(store)
    with store.workspace() as work:
        store.publish(*made(work), None)
    with pytest.raises(VerificationFailed, match="has not been verified"):
        verified_image(store)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"verdict": "failed"}, "failed its verification"), ({"sha256": "0" * 64}, "is not the file that was verified")],
)
def test_another_verdict_or_other_bytes_are_refused(store: Store, changes: dict[str, object], words: str) -> None:
    verified(store, **changes)
    with pytest.raises(VerificationFailed, match=words):
        verified_image(store)


def test_an_image_that_was_changed_after_its_verification_is_refused(store: Store) -> None:
    verified(store)
    info = store.image.stat()
    store.image.write_bytes(b"IMAGE")
    os.utime(store.image, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert store.current("in") is not None, "size and time are the same, so only the digest can tell"
    with pytest.raises(VerificationFailed, match="is not the file that was verified"):
        verified_image(store)


def test_a_change_between_the_check_and_the_copy_is_noticed(store: Store, tmp_path: Path) -> None:
    verified(store)
    image = verified_image(store)
    store.image.write_bytes(b"other")
    with pytest.raises(HostError, match="differs from"):
        publish(image, tmp_path / "to")
    assert not list((tmp_path / "to").iterdir())


def test_a_destination_that_is_no_folder(store: Store, tmp_path: Path) -> None:
    verified(store)
    (tmp_path / "to").touch()
    with pytest.raises(HostError) as caught:
        publish(verified_image(store), tmp_path / "to")
    assert caught.value.hint == "choose another destination with --to"
