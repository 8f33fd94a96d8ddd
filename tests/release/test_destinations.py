"""Every destination goes through the same cases: write, resume, switch, list, remove, two at once, killed anywhere.

A destination that is added needs a way to be made here, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.errors import HostError, MetallizeError, UsageError
from metallize.events import Silent
from metallize.release import curating, destinations
from metallize.release.catalogue import FILE, read_catalogue
from metallize.release.destinations import Destination, destination_at
from metallize.release.sums import read_sums
from tests.conftest import ROOT
from tests.unit.release.wares import NOW, released, ware

KINDS: dict[str, Callable[[Path], str]] = {"folder": lambda tmp_path: str(tmp_path / "with space, and ü")}
"""What `--to` is given for each."""
KILLS = 50
pytestmark = pytest.mark.slow


@pytest.fixture(params=sorted(KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return KINDS[request.param](tmp_path)


def test_every_destination_is_tested() -> None:
    assert {info.name for info in pkgutil.iter_modules(destinations.__path__)} == set(KINDS)


def seen_by_clients(destination: Destination, channel: str = "stable") -> tuple[str, ...]:
    """The versions that are offered, after looking as each client does that what is listed is there and is right."""
    listed = destination.pointer(channel, "SHA256SUMS")
    if listed is None:
        return ()
    with destination.session(channel, Silent()) as session:
        sums = read_sums((session.pointer("SHA256SUMS") or b"").decode())
        for name, sha256 in sums.items():
            assert session.published(name)
            with session.read(name) as file:
                assert hashlib.sha256(file.read()).hexdigest() == sha256, name
        found = read_catalogue(channel, session.pointer(FILE), "there")
        assert {file.name: file.sha256 for file in found.offered} == dict(sums)
        assert all(session.published(name) for name in found.kept)
        page = (session.pointer("index.html") or b"").decode()
        assert all(release.version in page for release in found.releases)
    return tuple(release.version for release in found.releases)


def test_write_switch_and_list(place: str, tmp_path: Path) -> None:
    destination = destination_at(place)
    assert destination.channels() == ()
    assert destination.pointer("stable", FILE) is None
    with destination.session("stable", Silent()) as session:
        assert session.pointer("p") is None
        session.put("a", lambda file: file.write(b"AA"))  # type: ignore[arg-type]  # the count is no matter
        assert session.whole("a")
        assert not session.published("a")
        assert destination.channels() == ()
        session.switch(["a"], {"p": b"1"})
        assert session.published("a")
        with session.read("a") as file:
            assert file.read() == b"AA"
    assert destination.channels() == ("stable",)
    assert destination.pointer("stable", "p") == b"1"


def test_remove(place: str) -> None:
    destination = destination_at(place)
    with destination.session("stable", Silent()) as session:
        for name in "ab":
            session.put(name, lambda file, name=name: file.write(name.encode()))  # type: ignore[misc]  # of this round
        session.switch(["a", "b"], {"p": b"1"})
        session.switch(["b"], {"p": b"2"})
        assert (session.whole("a"), session.published("b")) == (False, True)
        session.switch([], {"p": b"3"})
        assert not session.whole("b")
        assert session.pointer("p") == b"3"


def test_a_file_that_fails_on_the_way_is_not_there(place: str) -> None:
    def fill(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]  # a file
        raise HostError("the source is gone")

    destination = destination_at(place)
    with destination.session("stable", Silent()) as session:
        with pytest.raises(HostError, match="the source is gone"):
            session.put("a", fill)
        assert not session.whole("a")
        session.put("a", lambda file: file.write(b"AA"))  # type: ignore[arg-type]  # the count is no matter
        session.discard("a")
        assert not session.whole("a")


def test_what_was_put_is_there_for_the_next_session(place: str) -> None:
    destination = destination_at(place)
    with destination.session("stable", Silent()) as session:
        session.put("a", lambda file: file.write(b"AA"))  # type: ignore[arg-type]  # the count is no matter
    with destination.session("stable", Silent()) as session:
        assert session.whole("a")
        assert not session.published("a")


def test_a_switch_to_a_file_that_is_not_there_changes_nothing(place: str) -> None:
    destination = destination_at(place)
    with destination.session("stable", Silent()) as session:
        session.put("a", lambda file: file.write(b"AA"))  # type: ignore[arg-type]  # the count is no matter
        session.switch(["a"], {"p": b"1"})
        for _ in range(2):
            with pytest.raises(MetallizeError):
                session.switch(["a", "b"], {"p": b"2"})
    with destination.session("stable", Silent()) as session:
        assert (session.published("a"), session.pointer("p")) == (True, b"1")
        session.switch(["a"], {"p": b"3"})
    assert destination.pointer("stable", "p") == b"3"


def test_promote_retract_and_pin(place: str, tmp_path: Path) -> None:
    destination, terms = destination_at(place), curating.Terms(now=NOW)
    released(destination, ware(tmp_path / "one"), channel="beta")
    assert destination.channels() == ("beta",)
    curating.promote(destination, "20261130.1", Silent(), terms, channel="stable")
    assert destination.channels() == ("beta", "stable")
    assert seen_by_clients(destination) == seen_by_clients(destination, "beta") == ("20261130.1",)
    again = curating.promote(destination, "web_20261130.1", Silent(), terms, channel="stable")
    assert again.version == "20261130.1"
    assert curating.pin(destination, "20261130.1", Silent(), terms, pinned=True, channel="stable") == ("stable",)
    [beta, stable] = curating.catalogues(destination)
    assert (beta.releases[0].pinned, stable.releases[0].pinned) == (False, True)
    assert curating.retract(destination, "20261130.1", Silent(), terms, why="does not wake up") == ("beta", "stable")
    assert seen_by_clients(destination) == seen_by_clients(destination, "beta") == ()
    assert "does not wake up" in (destination.pointer("stable", "index.html") or b"").decode()
    for version, channel in (("20261130.1", "stable"), ("9", "next")):
        with pytest.raises(UsageError, match=f"there is no release {version}"):
            curating.promote(destination, version, Silent(), terms, channel=channel)
    with pytest.raises(UsageError, match="is gone"):
        released(destination, ware(tmp_path / "two", b"other", version="20261130.1"))


def test_publishing_what_another_channel_has_takes_it_from_there(place: str, tmp_path: Path) -> None:
    destination, made = destination_at(place), ware(tmp_path / "one")
    first = released(destination, made, channel="beta")
    later = released(destination, made, channel="stable", now=NOW + timedelta(days=3))
    assert later.release.version == first.release.version
    assert later.release.files == first.release.files


def test_a_promoted_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    destination = destination_at(str(tmp_path / "to"))
    released(destination, ware(tmp_path / "one"), channel="beta")
    path = tmp_path / "to" / "beta" / "web_20261130.1_x86-64.raw.xz"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(HostError, match="is not the file that the catalogue of beta tells of"):
        curating.promote(destination, "20261130.1", Silent(), curating.Terms(), channel="stable")
    assert destination.channels() == ("beta",)


def test_promoting_goes_on_over_what_a_killed_attempt_left(place: str, tmp_path: Path) -> None:
    destination = destination_at(place)
    done = released(destination, ware(tmp_path / "one"), channel="beta")
    with destination.session("stable", Silent()) as session:
        for file in done.release.files:
            session.put(file.name, lambda file: file.write(b"of something else"))  # type: ignore[arg-type]  # the count is no matter
    curating.promote(destination, "20261130.1", Silent(), curating.Terms(now=NOW), channel="stable")
    assert seen_by_clients(destination) == ("20261130.1",)


def test_a_full_disk(place: str, tmp_path: Path) -> None:
    """The kernel's limit of a file's size says the same as a disk without room: nothing is seen, the next completes."""
    destination = destination_at(place)
    released(destination, ware(tmp_path / "one"))
    before = {name: destination.pointer("stable", name) for name in ("SHA256SUMS", FILE, "index.html")}
    made = ware(tmp_path / "two", random.Random(1).randbytes(300_000))  # noqa: S311 - bytes that do not pack
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(HostError, match="File too large") as caught:
            released(destination, made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make room" in str(caught.value.hint)
    assert {name: destination.pointer("stable", name) for name in before} == before
    assert seen_by_clients(destination) == ("20261130.1",)
    assert released(destination, made).release.version == "20261130.2"
    assert seen_by_clients(destination) == ("20261130.2", "20261130.1")


def test_two_publishers_at_once(place: str, tmp_path: Path) -> None:
    wares = [ware(tmp_path / f"b{number}", b"image %d" % number) for number in range(4)]
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            released(destination_at(place), wares[number])
        except BaseException as exc:  # noqa: BLE001 - of a thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen_by_clients(destination_at(place)) == tuple(f"20261130.{number}" for number in (4, 3, 2, 1))


PUBLISHERS = """
import json, os, signal, sys
from pathlib import Path
from tests.unit.release.wares import released, ware
from metallize.release.destinations import destination_at

CALLS = ("open", "os.rename", "os.link", "os.mkdir", "os.symlink", "os.remove", "os.chmod", "os.rmdir")

def publish(place, build, last):
    made, destination, seen = ware(Path(build), b"the next image" * 100_000), destination_at(place), 0
    def audit(event, args):
        nonlocal seen
        if event in CALLS:
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(audit)
    released(destination, made)
    return seen

for line in sys.stdin:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, b"%d" % publish(*json.loads(line)))
        os._exit(0)
    os.close(writer)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, int(os.read(reader, 20) or 0)]), flush=True)
    os.close(reader)
"""
"""Publishes for each line, in a process that kills itself at its so-manieth call of the filesystem; 0 for never."""


@pytest.fixture
def publisher() -> Iterator[Callable[[str, Path, int], tuple[int, int]]]:
    """Gives the status of a publisher, and how many calls it made."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", PUBLISHERS]
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def publish(place: str, build: Path, last: int) -> tuple[int, int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([place, str(build), last]) + "\n")
            process.stdin.flush()
            status, calls = json.loads(process.stdout.readline())
            return status, calls

        yield publish
        process.stdin.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_killed_at_seeded_moments(
    kind: str, tmp_path: Path, publisher: Callable[[str, Path, int], tuple[int, int]]
) -> None:
    """Whatever the moment, clients see the release before or the one after, whole; and the next attempt completes."""
    old = ware(tmp_path / "old")
    count = KINDS[kind](tmp_path / "count")
    released(destination_at(count), old)
    status, total = publisher(count, tmp_path / "count-build", 0)
    assert status == 0
    assert total >= KILLS
    moments = random.Random(15).sample(range(1, total + 1), KILLS)  # noqa: S311 - the same ones each time
    outcomes = set()
    for number, moment in enumerate(moments):
        place = KINDS[kind](tmp_path / f"to {number}")
        destination = destination_at(place)
        released(destination, old)
        before = destination.pointer("stable", "SHA256SUMS")
        died = publisher(place, tmp_path / f"new {number}", moment)
        assert died[0] == -signal.SIGKILL, moment
        now = seen_by_clients(destination)
        assert now in (("20261130.1",), ("20261130.2", "20261130.1")), moment
        assert (destination.pointer("stable", "SHA256SUMS") == before) == (len(now) == 1)
        outcomes.add(len(now))
        done = publisher(place, tmp_path / f"new {number}", 0)
        assert done[0] == 0, moment
        assert seen_by_clients(destination) == ("20261130.2", "20261130.1"), moment
    assert outcomes == {1, 2}, "no moment before the switch, or none after it, was among them"
