"""The lock of a store: who is dead, who slept too long, and that nobody writes then."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.events import Note, Silent
from metallize.host.process import Process
from metallize.release.destinations import destination_at
from metallize.release.objects.bucket import Bucket
from metallize.release.objects.lock import LOCK, LockObject
from metallize.release.remote import lease
from tests.release.kinds import S3Kind, s3_get, seen_by_clients
from tests.release.stores import Answer, Cut, Forward, Request
from tests.unit.release.wares import released, ware

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(s3_place: str) -> Bucket:
    made: Bucket = destination_at(s3_place).bucket  # type: ignore[attr-defined]  # this kind's
    return made


def etag_of(bucket: Bucket) -> str:
    found = bucket.get(LOCK)
    assert found is not None
    return found.etag


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def emit(self, event: object) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


def test_the_lock_of_a_publisher_that_died_elsewhere_runs_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "this_process", classmethod(lambda _: "of another host"))
    dead = lease.Lease(lock=LockObject(bucket=bucket), seconds=60)
    assert dead.take(etag_of(bucket))
    heard = Heard()
    with lease.held(LockObject(bucket=bucket), heard, seconds=2) as mine:
        assert mine.etag == etag_of(bucket) != dead.etag
    assert len(heard.notes) == 1
    assert "somebody else is publishing" in heard.notes[0]
    with pytest.raises(HostError, match="could not be renewed in time"):
        lease.Lease(lock=LockObject(bucket=bucket), seconds=60, renewed=dead.renewed - 60).require()


def test_a_publisher_that_slept_too_long_changes_nothing(
    s3: S3Kind, s3_place: str, bucket: Bucket, tmp_path: Path
) -> None:
    """Its lock ran out meanwhile, and another one published: it finds that, at the latest at what decides."""
    first = destination_at(s3_place)
    with first.session("stable", Silent()) as asleep:
        asleep.lease.etag = "gone"  # type: ignore[attr-defined]  # S3's
        assert bucket.put(LOCK, b"{}\n", "", "", only_over=etag_of(bucket))
        released(destination_at(s3_place), ware(tmp_path / "second", b"other"))
        asleep.lease.lost, asleep.lease.renewed = False, lease._now()  # type: ignore[attr-defined]  # as if it knew nothing
        with pytest.raises(HostError, match="somebody else has changed the channel meanwhile"):
            asleep.switch([], {"SHA256SUMS": b"", "releases.json": b""})
    assert seen_by_clients(s3, s3_place) == ("20261130.2", "20261130.1")


def test_a_holder_that_is_not_heard_of_gives_up(s3: S3Kind, bucket: Bucket) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        if request.method == "PUT" and LOCK in request.path:
            raise Cut
        return forward(request)

    with lease.held(LockObject(bucket=bucket), Silent()) as mine:
        mine.require()
        s3.proxy.rule = rule
        mine.renewed -= lease.LEASE_SECONDS  # so long nothing was heard
        with pytest.raises(HostError, match="could not be renewed in time"):
            mine.require()
        s3.proxy.rule = None


def test_a_lock_in_use_is_renewed(s3: S3Kind, s3_place: str, bucket: Bucket) -> None:
    with lease.held(LockObject(bucket=bucket), Silent(), seconds=20) as mine:
        before, deadline = mine.renewed, Deadline.after(60, "it is renewed")
        while mine.renewed == before:
            assert not deadline.expired
            threading.Event().wait(0.1)
        mine.require()
    assert s3_get(s3.proxy.target, s3_place, LOCK) == b"{}\n"
