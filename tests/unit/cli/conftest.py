"""`metallize` called in an empty folder, and a profile that is right."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metallize import cli, pruning

GOOD = """\
args:
  kernel_package: linux-image-amd64
images:
  - debian:trixie
  - debian-live.dockerfile
output:
  generator: livecd
  file: web.iso
boot:
  machines: [seabios]
  login: {user: admin, password: admin}
  assert:
    service: {ssh: {enabled: true}}
"""


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    def events(self) -> list[dict[str, Any]]:
        """Standard output, of which every line must be a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


Call = Callable[..., Said]


@pytest.fixture
def engine_address(tmp_path: Path) -> Iterator[socket.socket]:
    """Where an engine would be asked: it listens, never answers, and tells whether anybody came."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "engine.sock"))
        listening.listen()
        listening.settimeout(30)
        yield listening


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine_address: socket.socket
) -> Iterator[Call]:
    """`main()` in an empty folder with no Docker engine; at the end, nobody has asked for one unless told so."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine_address.getsockname()}")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def call(*words: str | Path) -> Said:
        capsys.readouterr()
        status = cli.main([str(word) for word in words])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Said(status=int(status), out=told.out, err=told.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)
    engine_address.setblocking(False)
    with pytest.raises(BlockingIOError):
        engine_address.accept()


@pytest.fixture
def no_engine(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST leads nowhere; what else this host builds meanwhile is nobody's business here."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    monkeypatch.setattr(pruning, "_builds_under_way", lambda: False)


@pytest.fixture
def no_programs(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH is an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def write(old: str = "", new: str = "", name: str = "web.yaml", good: str = GOOD) -> Path:
    """The good profile, with one place of it replaced."""
    assert old in good
    path = Path(name)
    path.write_text(good.replace(old, new, 1))
    return path
