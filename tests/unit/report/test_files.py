"""What is written whole or not at all, where there is no room for it: the error names the file, and nothing is left."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metallize.build.store import write_json
from metallize.report.files import write_whole


@contextmanager
def no_room() -> Iterator[None]:
    """A limit on the size of files, which ends a write as a full disk does (setrlimit(2), RLIMIT_FSIZE).

    Only around the write: pytest's own output may be in a file that is longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "write", [lambda path: write_whole(path, "x" * 20_000), lambda path: write_json(path, {"x": "x" * 20_000})]
)
def test_a_full_disk_names_the_file_and_leaves_no_part(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "report.html"
    with no_room(), pytest.raises(OSError, match="File too large") as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
