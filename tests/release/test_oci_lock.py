"""The lock of a repository: one alone holds it, whoever is dead or slept too long does not, and nobody writes then."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.events import Silent
from metallize.host.process import Process
from metallize.release.destinations import destination_at
from metallize.release.registry.access import Access
from metallize.release.registry.address import address_of
from metallize.release.registry.lock import TAG, LockTag
from metallize.release.registry.repository import Repository
from metallize.release.remote import lease
from metallize.release.remote.lease import Lease
from tests.release.kinds import OciKind, oci_document, seen_by_clients
from tests.release.stores import Answer, Forward, Request
from tests.unit.release.wares import released, ware

pytestmark = pytest.mark.slow


def lock_of(place: str) -> LockTag:
    return LockTag(repository=Repository(access=Access(address_of(place))))


def is_lock(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith(f"manifests/{TAG}")


def test_two_who_saw_it_free_do_not_both_hold_it(oci: OciKind) -> None:
    """Each has read the lock before the other's write arrives: the proxy sees to that."""
    place, together, held = oci.make("to"), threading.Barrier(2), []

    def rule(request: Request, forward: Forward) -> Answer:
        if is_lock(request):
            together.wait(30)
        return forward(request)

    def take(name: str) -> None:
        if lock_of(place).write(b'{"by": "%s"}' % name.encode(), None) is not None:
            held.append(name)

    lock_of(place)._prepare()  # what is written once
    oci.line.rule = rule
    threads = [threading.Thread(target=take, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    assert oci_document(oci.registry, place, TAG)["annotations"]["metallize.lock"] == f'{{"by": "{held[0]}"}}'


def test_many_who_want_it_have_it_one_after_the_other(oci: OciKind) -> None:
    place, inside, most, done = oci.make("to"), [0], [0], []

    def take() -> None:
        with lease.held(lock_of(place), Silent(), 6) as mine:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.2)
            mine.require()
            inside[0] -= 1
        done.append(True)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), most[0]) == (4, 1)
    assert oci.untagged(place) <= 3, "what lost a race was written over"


def test_a_registry_that_is_too_slow_keeps_no_lock(oci: OciKind) -> None:
    place = oci.make("to")

    def rule(request: Request, forward: Forward) -> Answer:
        if is_lock(request):
            time.sleep(1)
        return forward(request)

    oci.line.rule = rule
    with (
        pytest.raises(HostError, match=r"_lock: the registry took 1\.\d s to write it") as caught,
        destination_at(place).session("stable", Silent()),
    ):
        pytest.fail("it has the lock")
    assert "run it again" in str(caught.value.hint)


def test_the_lock_of_a_publisher_that_died_elsewhere_runs_out(oci_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Process, "this_process", classmethod(lambda _: "of another host"))
        dead, before = Lease(lock=lock_of(oci_place), seconds=60), lock_of(oci_place).read()
        assert before is not None
        assert dead.take(before.etag)
        with lease.held(lock_of(oci_place), Silent(), seconds=2) as mine:
            assert not dead.is_in(lock_of(oci_place).read())
            assert mine.is_in(lock_of(oci_place).read())


def test_a_publisher_that_slept_too_long_changes_nothing(oci: OciKind, oci_place: str, tmp_path: Path) -> None:
    """Its lock ran out meanwhile, and another one published: it finds that before it switches."""
    with destination_at(oci_place).session("stable", Silent()) as asleep:
        ended = asleep.lease  # type: ignore[attr-defined]  # this kind's
        ended.lost = True  # so its thread ends, as that of a process which sleeps
        own = lock_of(oci_place).read()
        assert own is not None
        thief = lock_of(oci_place)
        assert thief.write(b"{}\n", own.etag) is not None
        released(destination_at(oci_place), ware(tmp_path / "second", b"other"))
        ended.lost, ended.renewed = False, lease._now()  # as if it knew nothing
        with pytest.raises(HostError, match="somebody else has taken the lock meanwhile"):
            asleep.switch([], {"SHA256SUMS": b""})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(ended), "is_in", lambda *_: True)
            with pytest.raises(HostError, match="somebody else has changed the channel meanwhile"):
                asleep.switch([], {"SHA256SUMS": b""})
    assert seen_by_clients(oci, oci_place) == ("20261130.2", "20261130.1")
