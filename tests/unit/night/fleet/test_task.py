"""What is handed to a worker, and how it makes it its own."""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.errors import HostError, LayerError
from metallize.host.turns import Need
from metallize.model.boot import Boot, Ssh
from metallize.night.attempt import Host, Status
from metallize.night.executors import Work
from metallize.night.fleet import task as tasks
from metallize.night.fleet.cache import ImageCache
from metallize.night.fleet.depot import Address
from metallize.night.fleet.handing import error_of, task_of
from metallize.night.fleet.task import Bench, Fault, Task
from metallize.night.matrix.making import matrix_of
from metallize.pipeline import Options
from metallize.shells.ssh import ephemeral_key
from metallize.verify.beside import unless
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import PASSED

NOWHERE = Address(host="127.0.0.1", port=1, token="secret", tls=False)


def handed(folder: Path, monkeypatch: pytest.MonkeyPatch, ssh: Ssh | None) -> Task:
    """Of a cell whose profile names this way in."""
    builds = Builds({"a": (PASSED,)}, emulated=False).install(monkeypatch)
    options = Options(build_dir=folder / "build")
    [entry] = matrix_of([builds.candidate("a")], Catalog(), options, here=False).entries
    request = replace(entry.request, boot=entry.request.boot.model_copy(update={"ssh": ssh}))
    path = folder / "image"
    path.write_bytes(b"an image")
    work = Work(
        cell=entry.cell, profile=entry.build.profile, request=request, sha256="a" * 64, run="ab",
        image=lambda: Stored(path=path, manifest={"sha256": "a" * 64}), need=Need(what="a", cpus=1, memory_bytes=1),
    )  # fmt: skip
    task = task_of(work, work.image(), "ab-01", folder / "build", NOWHERE)
    return pickle.loads(pickle.dumps(task))  # type: ignore[no-any-return]  # noqa: S301 - our own


def test_the_key_to_log_in_with_travels_and_is_shown_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "id"
    path.write_text(ephemeral_key())
    task = handed(tmp_path, monkeypatch, Ssh(user="admin", key=str(path)))
    assert path.read_text() not in repr(task)
    assert "secret" not in repr(task)
    (tmp_path / "there").mkdir()
    ready = tasks._ready(task, tmp_path / "it", tmp_path / "there")
    assert ready.boot.ssh is not None
    key = Path(str(ready.boot.ssh.key))
    assert key.parent == tmp_path / "there"
    assert key.read_text() == path.read_text()
    assert key.stat().st_mode & 0o077 == 0
    assert ready.image == tmp_path / "it"
    assert ready.kinds.keys() == Catalog().kinds.keys()
    path.unlink()
    with pytest.raises(HostError, match=r"the SSH key .* cannot be read"):
        handed(tmp_path, monkeypatch, Ssh(user="admin", key=str(path)))


def test_a_guest_has_as_many_cpus_as_on_the_nights_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METALLIZE_CPUS", "3")
    task = handed(tmp_path, monkeypatch, Ssh(user="admin", key="ephemeral"))
    assert (task.request.boot.cpus, task.ssh_key, task.size_bytes) == (3, "", 8)
    assert task.request.image == Path("image")
    assert Boot().cpus is None


def bench(folder: Path) -> Bench:
    cache = ImageCache(folder=folder / "images", most_bytes=1 << 30)
    return Bench(cache=cache, scratch=folder / "work", keys=None, host=Host(id="h1"))


def test_what_goes_wrong_is_told_and_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = handed(tmp_path, monkeypatch, None)
    done = bench(tmp_path).boot(task)
    assert done.fault is not None
    assert done.fault.status is Status.MISS
    assert "does not answer" in done.fault.message
    other = bench(tmp_path).boot(replace(task, software={"metallize": "0"}))
    assert other.fault is not None
    assert "software is another" in other.fault.message
    for error, status in (
        (LayerError("x"), Status.ERROR),
        (ZeroDivisionError(), Status.MISS),
        (OSError(28, "full"), Status.MISS),
    ):
        monkeypatch.setattr(tasks, "_require_same", _raises(error))
        failed = bench(tmp_path).boot(task).fault
        assert failed is not None
        assert failed.status is status
        assert failed.full is isinstance(error, OSError)
        assert pickle.loads(pickle.dumps(failed)) == failed  # noqa: S301 - our own
    assert list((tmp_path / "work").iterdir()) == []


def _raises(error: Exception) -> object:
    def fail(_software: object) -> None:
        raise error

    return fail


def test_a_fault_is_told_with_its_host() -> None:
    host = Host(id="h1")
    error = error_of(Fault(status=Status.MISS, message="no memory left", hint="buy some"), host)
    assert (error.message, error.hint, type(error)) == ("on h1: no memory left", "buy some", HostError)
    assert not isinstance(error_of(Fault(status=Status.ERROR, message="x"), host), HostError)
    assert "has seen nothing" in error_of(None, host).message


def test_what_nobody_waits_for_is_ended_and_lets_go() -> None:
    begun, released = threading.Event(), threading.Event()

    def work() -> None:
        try:
            begun.set()
            while True:
                time.sleep(0.01)
        finally:
            released.set()

    with pytest.raises(HostError, match="nobody waits"):
        unless(lambda: "nobody waits" if begun.is_set() else "", Need(what="x", cpus=1, memory_bytes=1), work)
    assert released.is_set()
    assert unless(lambda: "", Need(what="x", cpus=1, memory_bytes=1), lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        unless(lambda: "", Need(what="x", cpus=1, memory_bytes=1), lambda: 1 // 0)
