"""A night on real workers of a real scheduler: whatever is lost, no cell is, and none counts twice."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.errors import HostError
from metallize.host.turns import Need
from metallize.night.attempt import Attempt, Host, Status
from metallize.night.executors import Ground, Work
from metallize.night.fleet import leading
from metallize.night.gather import this_host
from metallize.night.history import history_path, read
from metallize.night.matrix.making import matrix_of
from metallize.night.run import status_of
from metallize.pipeline import Options
from tests.unit.night.fleet.conftest import Fleet, FleetNight, eventually
from tests.unit.night.simulated import Builds
from tests.unit.report.test_report import PASSED

pytestmark = pytest.mark.slow


def outcome(attempts: Sequence[Attempt]) -> dict[str, str]:
    """By cell, what its attempts came to."""
    found: dict[str, list[str]] = {}
    for each in attempts:
        found.setdefault(each.cell.name, []).append(str(each.status))
    return {name: " ".join(statuses) for name, statuses in sorted(found.items())}


def whole(night: FleetNight, attempts: Sequence[Attempt]) -> None:
    """The history has each attempt once, and nothing is left of the fleet's own, be it of a night that was killed."""
    history = read(history_path(night.folder))
    assert not history.unreadable
    assert Counter(each.run for each in history.attempts) == Counter(each.run for each in attempts)
    assert len({each.run for each in attempts}) == len(attempts)
    assert len({each.night for each in attempts}) == 1
    assert [each.name for each in (night.folder / "nightly" / "fleet").iterdir()] == [".lock"]
    assert not (night.folder / "nightly" / "night.json").exists()


def test_a_night_on_two_workers(fleet: Fleet, night: FleetNight) -> None:
    fleet.scheduler()
    fleet.worker("one")
    fleet.worker("two")
    attempts = night.run({"a": "pass", "b": "fail", "c": "pass", "d": "missing", "e": "broken"})
    assert outcome(attempts) == {
        "a": "PASS", "b": "FAIL FAIL", "c": "PASS", "d": "MISS MISS MISS", "e": "MISS MISS MISS",
    }  # fmt: skip
    whole(night, attempts)
    assert status_of(attempts) == 1
    assert sorted(night.settled) == [("a", "seabios", True), ("b", "seabios", False), ("c", "seabios", True)]
    by_name = {each.cell.name: each for each in attempts}
    passed = by_name["a"]
    assert passed.host.id == this_host().id
    assert passed.led_by == ""
    assert (passed.host.accelerator, passed.host.slowness) == ("tcg", 2.0)
    folder = Path(passed.run_folder)
    assert folder.parent == night.folder / "runs" / "a" / "seabios"
    assert (folder / "console.txt").read_text() == "[   1.000] pass\n"
    assert (folder / "later" / "odd \u00e4 name").read_bytes() == b"\0\1"
    report = json.loads((folder / "report.json").read_text())
    assert report["notes"] == [f"first run in {folder}"]
    assert str(fleet.folder / "one") not in (folder / "report.json").read_text()
    assert "no memory left" in by_name["d"].reason
    assert "this is a bug in metallize" in by_name["e"].reason
    assert list(folder.parent.glob(".*")) == []
    images = sorted(path.name for path in fleet.folder.glob("*/images/*") if len(path.name) == 64)
    assert max(Counter(images).values()) <= 2, "an image is there at most once on each worker"
    assert list(fleet.folder.glob("*/work/*/cell-*")) == []


def test_a_worker_that_is_killed_in_the_middle_costs_a_miss_and_no_cell(fleet: Fleet, night: FleetNight) -> None:
    fleet.scheduler()
    one = fleet.worker("one", METALLIZE_GUESTS="1")
    fleet.worker("two", METALLIZE_GUESTS="1")

    def kill() -> None:
        eventually(lambda: any(int(line[2]) == one.pid for line in fleet.lines("begins")), "the first one boots")
        one.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    attempts = night.run(dict.fromkeys("abcd", "sleep 2"))
    killer.join()
    whole(night, attempts)
    statuses = outcome(attempts)
    assert Counter(statuses.values()) == {"PASS": 3, "MISS PASS": 1}
    [missed] = [each for each in attempts if each.status is Status.MISS]
    assert "was lost in the middle of the boot" in missed.reason
    assert missed.attempt == 1
    assert Counter(line[0] for line in fleet.lines("ends")) == {
        hashlib.sha256(f"sleep 2\n{name}".encode()).hexdigest(): 1 for name in "abcd"
    }


def test_a_scheduler_that_restarts_costs_misses_and_no_cell(fleet: Fleet, night: FleetNight) -> None:
    first = fleet.scheduler()
    fleet.worker("one")
    fleet.worker("two")

    def restart() -> None:
        eventually(lambda: fleet.lines("begins"), "something boots")
        first.send_signal(signal.SIGKILL)
        first.wait()
        fleet.scheduler()

    restarter = threading.Thread(target=restart)
    restarter.start()
    attempts = night.run(dict.fromkeys("abcdef", "sleep 3"))
    restarter.join()
    whole(night, attempts)
    assert set(outcome(attempts).values()) <= {"PASS", "MISS PASS"}
    assert "MISS PASS" in outcome(attempts).values()
    assert any("is there again" in str(event) for event in night.events.events)
    ended = Counter(line[0] for line in fleet.lines("ends"))
    assert set(ended.values()) == {1}, "what nobody waited for was ended, and counts for nothing"
    assert len(ended) == 6


def test_a_scheduler_that_is_gone_for_good_leaves_a_night_that_goes_on(
    fleet: Fleet, night: FleetNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "AGAIN_SECONDS", 2.0)
    first = fleet.scheduler()
    worker = fleet.worker("one", METALLIZE_GUESTS="1")
    images = {"a": "pass", "b": "sleep 60", "c": "sleep 60"}

    def kill() -> None:
        eventually(lambda: len(fleet.lines("begins")) == 2, "the second boots")
        first.kill()

    blocked = threading.Thread(target=kill)
    blocked.start()
    with pytest.raises(HostError, match=r"was lost.* for good") as caught:
        night.run(images)
    blocked.join()
    assert caught.value.hint == "start it again, and this night: it goes on where it was"
    assert (night.folder / "nightly" / "night.json").exists()
    known = read(history_path(night.folder)).attempts
    fleet.scheduler()
    output = fleet.folder / "one.txt"
    eventually(lambda: output.read_bytes().count(b"boots for") == 2, "the worker has found it again")
    assert worker.poll() is None
    fleet.worker("two")
    images = {"a": "pass", "b": "sleep 60", "c": "sleep 60"}
    before = len(fleet.lines("begins"))

    def interrupt() -> None:
        eventually(lambda: len(fleet.lines("begins")) >= before + 2, "both boot")
        signal.raise_signal(signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        night.run(images)
    interrupter.join()
    later = read(history_path(night.folder)).attempts
    assert [each.run for each in later[: len(known)]] == [each.run for each in known]
    assert [each.cell.name for each in later].count("a") == 1, "what is in the history is not booted again"
    ended = len(fleet.lines("ends"))
    eventually(lambda: list(fleet.folder.glob("*/work/*/cell-*")) == [], "nothing is booted any more for nobody")
    assert len(fleet.lines("ends")) == ended == 1


def test_a_night_that_is_killed_is_booted_for_no_longer_and_goes_on(fleet: Fleet, night: FleetNight) -> None:
    fleet.scheduler()
    fleet.worker("one", METALLIZE_GUESTS="1")
    fleet.worker("two", METALLIZE_GUESTS="1")
    folder, images = str(night.folder), {"a": "pass", "b": "sleep 600", "c": "sleep 600"}
    program = [sys.executable, str(Path(__file__).with_name("leading_alone.py")), folder, str(fleet.port)]
    leader = fleet.start([*program, json.dumps(images)], fleet.folder / "leader.txt")
    eventually(lambda: len(fleet.lines("begins")) == 3, "the last two boot")
    leader.kill()
    leader.wait()
    eventually(lambda: list(fleet.folder.glob("*/work/*/cell-*")) == [], "the workers have heard of it")
    assert len(fleet.lines("ends")) == 1
    attempts = night.run({"a": "pass", "b": "pass", "c": "fail"})
    assert outcome(attempts) == {"a": "PASS", "b": "PASS", "c": "FAIL FAIL"}
    assert len(fleet.lines("begins")) == 6, "a is not booted again"
    whole(night, attempts)


def test_a_worker_whose_disk_is_full_misses_the_cell_and_another_gets_it(fleet: Fleet, night: FleetNight) -> None:
    fleet.scheduler()
    fleet.worker("full", prefix=("prlimit", "--fsize=4096"))
    fleet.worker("good")
    text = "pass\n" + "x" * 8192
    attempts = night.run(dict.fromkeys("abcdef", text))
    whole(night, attempts)
    assert set(outcome(attempts).values()) <= {"PASS", "MISS PASS"}
    assert "MISS PASS" in outcome(attempts).values()
    missed = [each for each in attempts if each.status is Status.MISS]
    assert all("disk is full" in each.reason for each in missed)
    assert len(missed) <= 2, "a worker that is full is asked no more than it has cores"


@pytest.mark.parametrize("lies", ["image", "machine"])
def test_a_worker_that_lies_is_not_believed_and_asked_no_more(fleet: Fleet, night: FleetNight, lies: str) -> None:
    """A pass of another image, or on another machine, is nobody's: the cell goes to somebody else."""
    fleet.scheduler()
    fleet.worker("liar", FLEET_LIES=lies)
    fleet.worker("good")
    attempts = night.run(dict.fromkeys("abcdef", "pass"))
    whole(night, attempts)
    assert set(outcome(attempts).values()) <= {"PASS", "MISS PASS"}
    missed = [each for each in attempts if each.status is Status.MISS]
    assert missed
    assert all("another image was booted, or elsewhere" in each.reason for each in missed)
    assert len(missed) <= 2, "a worker that lies is asked no more than it has cores"


def test_what_nobody_can_boot_is_said_before_anything_is_built(fleet: Fleet, night: FleetNight) -> None:
    fleet.scheduler()
    fleet.worker("other", FLEET_SOFTWARE="f" * 64)
    attempts = night.run({"a": "pass"})
    assert outcome(attempts) == {"a": "MISS"}
    assert f"judge {'f' * 16} and not" in attempts[0].reason
    assert not list(night.folder.glob("*.image")), "it was not built"
    assert outcome(night.run({"a": "pass"}, named=False, anew=True)) == {"a": "SKIP"}


def test_a_boot_in_turn_is_made_on_the_host_that_is_named(fleet: Fleet, night: FleetNight, tmp_path: Path) -> None:
    fleet.scheduler()
    fleet.worker("one")
    path = tmp_path / "image"
    path.write_bytes(b"pass")
    sha256 = hashlib.sha256(b"pass").hexdigest()
    builds = Builds({"a": (PASSED,)}, emulated=False).install(night.monkeypatch)
    [entry] = matrix_of([builds.candidate("a")], Catalog(), Options(build_dir=night.folder), here=False).entries
    work = Work(
        cell=entry.cell, profile=entry.build.profile, request=entry.request, sha256=sha256, run="ab",
        image=lambda: Stored(path=path, manifest={"sha256": sha256}),
        need=Need(what="a", cpus=1, memory_bytes=1 << 20),
    )  # fmt: skip
    ground = Ground(catalog=Catalog(), events=night.events, options=Options(build_dir=night.folder))
    with fleet.executor().session(ground) as session:
        here, other = this_host(), Host(id="another")
        assert session.missing(here) == ""
        assert "no worker now" in session.missing(other)
        assert session.boot(work, here).report.passed
        night.monkeypatch.setattr(leading, "NOBODY_SECONDS", 0.5)
        with pytest.raises(HostError, match="it is to boot on another"):
            session.boot(work, other)
        path.unlink()
        with pytest.raises(HostError, match="No such file"):
            session.boot(work, here)
    assert len(fleet.lines("begins")) == 1


def test_a_fleet_with_keys_speaks_to_nobody_else(fleet: Fleet, night: FleetNight) -> None:
    from metallize.night.fleet.keys import make_keys
    from metallize.night.fleet.link import Link

    fleet.keys = make_keys(fleet.folder / "keys")
    fleet.scheduler()
    fleet.worker("one")
    assert outcome(night.run({"a": "pass", "b": "fail"})) == {"a": "PASS", "b": "FAIL FAIL"}
    with pytest.raises(HostError, match="does not answer without keys"):
        Link(fleet.place, None)
    with pytest.raises(HostError, match="does not answer with these keys"):
        Link(fleet.place, make_keys(fleet.folder / "others"))


def test_no_worker_seems_lost_while_the_client_asks_for_something_else(fleet: Fleet) -> None:
    """dask's client looks at its scheduler now and then by itself, and then for no workers."""
    from metallize.night.fleet.link import Link

    fleet.scheduler()
    fleet.worker("one")
    link = Link(fleet.place, None)
    try:
        for _ in range(200):
            link._client.loop.add_callback(link._client._update_scheduler_info)
            assert len(link.workers()) == 1
    finally:
        link.close()
