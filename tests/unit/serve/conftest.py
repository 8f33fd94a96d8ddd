"""An archive as generator `netboot` makes them, only smaller, served on this host's loopback."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from metallize.serve import FetchLog, Running, opened, serving

LOOPBACK = "127.0.0.1"
Serve = Callable[[Path], AbstractContextManager[Running]]


def some_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)  # noqa: S311 - the same in every run


FILES: Mapping[str, bytes] = {
    "boot.ipxe": b"#!ipxe\nboot\n",
    "server.ipxe": b"#!ipxe\nset base http://${next-server}\n",
    "grub/server.cfg": b"set base=(http,$net_default_server)\n",
    "vmlinuz": some_bytes(300_001),
    "filesystem.squashfs": some_bytes(2_000_003),
    "even": some_bytes(1024),
    "empty": b"",
}


def write_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "net.tar", FILES)


@pytest.fixture
def serve() -> Serve:
    """Serve an archive or a folder at free ports of this host."""

    @contextmanager
    def serve_source(source: Path) -> Iterator[Running]:
        with (
            opened(source, bootable=False) as files,
            serving(files, FetchLog(), address=LOOPBACK, http_port=0, tftp_port=0) as running,
        ):
            yield running

    return serve_source


@pytest.fixture
def running(serve: Serve, archive: Path) -> Iterator[Running]:
    with serve(archive) as servers:
        yield servers
