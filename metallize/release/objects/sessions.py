"""A bucket as a destination: its channels, and what whoever is alone in it does (destinations/s3.py: what is where)."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast

from metallize.errors import HostError
from metallize.events import Events
from metallize.release.destinations import Fill
from metallize.release.objects import channels, uploading
from metallize.release.objects.bucket import Bucket, Listed
from metallize.release.objects.channels import Shown
from metallize.release.objects.lock import LockObject
from metallize.release.objects.opening import ObjectBytes
from metallize.release.remote import lease
from metallize.release.remote.lease import LEASE_SECONDS, Lease
from metallize.release.remote.media import kind_of
from metallize.release.remote.reading import Reading

_LEFT = timedelta(days=1)
"""So long what an attempt has left behind waits for the next one."""
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """The whole destination."""

    bucket: Bucket

    @property
    def place(self) -> str:
        return self.bucket.place("").rstrip("/")

    def channels(self) -> tuple[str, ...]:
        return channels.names_of(self.bucket)

    def pointer(self, channel: str, name: str) -> bytes | None:
        held = self.bucket.get(f"{channel}/{name}")
        return held.content if held is not None else None

    @contextmanager
    def session(self, channel: str, events: Events) -> Iterator[ObjectSession]:
        lock = LockObject(bucket=self.bucket)
        with lease.held(lock, events, LEASE_SECONDS) as holding:
            lock.require_conditions(holding.text())
            session = ObjectSession(bucket=self.bucket, channel=channel, lease=holding)
            session.begin()
            yield session


@dataclass(slots=True, kw_only=True)
class ObjectSession:
    """What the holder of the lock does."""

    bucket: Bucket
    channel: str
    lease: Lease
    _shown: Shown = field(init=False)
    _listing: dict[str, Listed] | None = None
    """Of the channel, until something in it is changed."""

    def begin(self) -> None:
        """Do what killed sessions had decided and not done to its end."""
        for channel, now in channels.unsettled(self.bucket):
            channels.settle(self.bucket, channel, now, self.lease.require)
        self._shown = channels.shown(self.bucket, self.channel)
        if self._shown.number == 0:
            for name in self._files():
                if not self.bucket.is_ours(self._key(name)):
                    raise HostError(
                        f"{self.bucket.place(self._key(name))} is there already, and metallize did not make it",
                        hint="choose another --channel or another prefix, or move it away",
                    )

    def pointer(self, name: str) -> bytes | None:
        held = self.bucket.get(self._key(name))
        return held.content if held is not None else None

    def whole(self, name: str) -> bool:
        return name in self._files()

    def published(self, name: str) -> bool:
        return name in self._shown.names and name in self._files()

    def put(self, name: str, fill: Fill, about_bytes: int = 0) -> None:
        self._make_room(name)
        uploading.upload(
            self.bucket,
            self._key(name),
            kind_of(name),
            fill,
            self.lease.require,
            size=uploading.part_bytes(about_bytes),
        )

    def take(self, name: str, channel: str) -> None:
        self._make_room(name)
        source = next(
            (each for each in self.bucket.listed(f"{channel}/{name}") if each.key == f"{channel}/{name}"), None
        )
        if source is None:
            raise HostError(f"{self.bucket.place(f'{channel}/{name}')} is not there", hint="has somebody removed it?")
        self.lease.require()
        self.bucket.copy(source, self._key(name))

    def discard(self, name: str) -> None:
        self._make_room(name)

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        listed = self._files().get(name)
        if listed is None:
            raise HostError(f"{self.bucket.place(self._key(name))} is not there", hint="has somebody removed it?")
        with (
            Reading(ObjectBytes(bucket=self.bucket, listed=listed)) as raw,
            io.BufferedReader(raw, _BUFFER_BYTES) as file,
        ):
            yield cast("BinaryIO", file)

    def switch(self, names: Collection[str], pointers: Mapping[str, bytes]) -> None:
        self._listing = None
        lacking = sorted(set(names) - set(self._files()))
        if lacking:
            raise HostError(
                f"{self.bucket.place(self._key(lacking[0]))} is not there, and cannot be shown",
                hint="has somebody removed it? run it again",
            )
        before = self._shown
        new = replace(before, number=before.number + 1, names=frozenset(names), pointers=dict(pointers), settled=False)
        self.lease.require()
        decided = channels.decide(self.bucket, self.channel, new)
        self._shown = channels.settle(self.bucket, self.channel, decided, self.lease.require)
        self._clear({*before.names, *before.pointers})

    def _clear(self, shown_before: Collection[str]) -> None:
        """What was shown and is no more goes, and what attempts have left that nobody has come back to."""
        now = datetime.now(UTC)
        stays = {*self._shown.names, *self._shown.pointers}
        for name, each in self._files().items():
            if name in stays:
                continue
            if name in shown_before or (now - each.written > _LEFT and self.bucket.is_ours(each.key)):
                self.lease.require()
                self.bucket.delete(each.key)
        for upload in self.bucket.unfinished(self._key("")):
            if now - upload.begun > _LEFT:
                self.bucket.abort(upload.key, upload.id)
        self._listing = None

    def _make_room(self, name: str) -> None:
        """Take away what no client has seen."""
        if name in self._shown.names:
            raise HostError(
                f"{self.bucket.place(self._key(name))} is published, and never written over",
                hint="choose another output.version",
            )
        self.lease.require()
        if name in self._files():
            self.bucket.delete(self._key(name))
        self._listing = None

    def _key(self, name: str) -> str:
        return f"{self.channel}/{name}"

    def _files(self) -> dict[str, Listed]:
        if self._listing is None:
            below = self._key("")
            found = ((each.key.removeprefix(below), each) for each in self.bucket.listed(below))
            self._listing = {name: each for name, each in found if "/" not in name}
        return self._listing
