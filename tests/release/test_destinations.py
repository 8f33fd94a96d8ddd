"""Every destination goes through the same cases: write, resume, switch, list, remove, two at once.

A destination that is added needs its kind in kinds.py, and nothing else. test_killed.py kills its publishers.
"""

from __future__ import annotations

import pkgutil
import random
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.errors import HostError, MetallizeError, UsageError
from metallize.events import Silent
from metallize.release import curating, destinations
from metallize.release.catalogue import FILE
from metallize.release.destinations import destination_at
from tests.release.conftest import KINDS
from tests.release.kinds import Kind, seen_by_clients
from tests.unit.release.wares import NOW, released, ware

pytestmark = pytest.mark.slow


def test_every_destination_is_tested() -> None:
    assert {info.name for info in pkgutil.iter_modules(destinations.__path__)} == set(KINDS)


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


def test_promote_retract_and_pin(kind: Kind, place: str, tmp_path: Path) -> None:
    destination, terms = destination_at(place), curating.Terms(now=NOW)
    released(destination, ware(tmp_path / "one"), channel="beta")
    assert destination.channels() == ("beta",)
    curating.promote(destination, "20261130.1", Silent(), terms, channel="stable")
    assert destination.channels() == ("beta", "stable")
    assert seen_by_clients(kind, place) == seen_by_clients(kind, place, "beta") == ("20261130.1",)
    again = curating.promote(destination, "web_20261130.1", Silent(), terms, channel="stable")
    assert again.version == "20261130.1"
    assert curating.pin(destination, "20261130.1", Silent(), terms, pinned=True, channel="stable") == ("stable",)
    [beta, stable] = curating.catalogues(destination)
    assert (beta.releases[0].pinned, stable.releases[0].pinned) == (False, True)
    assert curating.retract(destination, "20261130.1", Silent(), terms, why="does not wake up") == ("beta", "stable")
    assert seen_by_clients(kind, place) == seen_by_clients(kind, place, "beta") == ()
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


def test_promoting_goes_on_over_what_a_killed_attempt_left(kind: Kind, place: str, tmp_path: Path) -> None:
    destination = destination_at(place)
    done = released(destination, ware(tmp_path / "one"), channel="beta")
    with destination.session("stable", Silent()) as session:
        for file in done.release.files:
            session.put(file.name, lambda file: file.write(b"of something else"))  # type: ignore[arg-type]  # the count is no matter
    curating.promote(destination, "20261130.1", Silent(), curating.Terms(now=NOW), channel="stable")
    assert seen_by_clients(kind, place) == ("20261130.1",)


def test_no_room(kind: Kind, place: str, tmp_path: Path) -> None:
    """Nothing is seen of what did not fit, and the next attempt completes."""
    destination = destination_at(place)
    released(destination, ware(tmp_path / "one"))
    before = {name: destination.pointer("stable", name) for name in ("SHA256SUMS", FILE, "index.html")}
    made = ware(tmp_path / "two", random.Random(1).randbytes(300_000))  # noqa: S311 - bytes that do not pack
    with kind.full() as words, pytest.raises(HostError, match=words) as caught:
        released(destination, made)
    assert "make room" in str(caught.value.hint)
    assert {name: destination.pointer("stable", name) for name in before} == before
    assert seen_by_clients(kind, place) == ("20261130.1",)
    assert released(destination, made).release.version == "20261130.2"
    assert seen_by_clients(kind, place) == ("20261130.2", "20261130.1")


def test_two_publishers_at_once(kind: Kind, place: str, tmp_path: Path) -> None:
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
    assert seen_by_clients(kind, place) == tuple(f"20261130.{number}" for number in (4, 3, 2, 1))
