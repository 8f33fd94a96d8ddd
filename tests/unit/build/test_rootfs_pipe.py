"""The pipe between the build and the generator's container, with processes at both ends."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from metallize.build.engines.rootfs_pipe import NAME, RootfsPipe


def reader(folder: Path, command: str) -> subprocess.Popen[bytes]:
    script = f"exec <{NAME} && rm {NAME} && {command}"
    return subprocess.Popen(["/bin/sh", "-c", script], cwd=folder, stdout=subprocess.PIPE)


def test_everything_arrives_and_the_reader_sees_the_end(tmp_path: Path) -> None:
    with RootfsPipe(tmp_path) as pipe:
        with pipe.writer() as sink, subprocess.Popen(["printf", "all of it"], stdout=sink) as writer:
            sink.close()
            assert writer.wait() == 0
        assert pipe.waiting
        with reader(tmp_path, "exec cat") as late:
            pipe.finish(given_up=lambda: False)
            assert late.stdout is not None
            assert late.stdout.read() == b"all of it"
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_comes_after_its_reader_has_taken_the_name_away(tmp_path: Path) -> None:
    with RootfsPipe(tmp_path) as pipe, pipe.writer() as sink, reader(tmp_path, "exec cat") as early:
        while pipe.waiting:
            time.sleep(0.01)
        with subprocess.Popen(["printf", "late"], stdout=sink) as writer:
            sink.close()
            assert writer.wait() == 0
        pipe.finish(given_up=lambda: False)
        assert early.stdout is not None
        assert early.stdout.read() == b"late"
    assert list(tmp_path.iterdir()) == []


def test_a_writer_whose_reader_has_gone_fails(tmp_path: Path) -> None:
    with RootfsPipe(tmp_path) as pipe, pipe.writer() as sink, subprocess.Popen(["yes"], stdout=sink) as writer:
        sink.close()
        with reader(tmp_path, "exec head -c 10") as early:
            assert early.wait() == 0
        pipe.release()
        assert writer.wait() != 0


def test_a_reader_that_never_comes(tmp_path: Path) -> None:
    gone = threading.Event()
    with RootfsPipe(tmp_path) as pipe:
        timer = threading.Timer(0.1, gone.set)
        timer.start()
        pipe.finish(given_up=gone.is_set)
        timer.join()
        assert pipe.waiting
    assert list(tmp_path.iterdir()) == []
