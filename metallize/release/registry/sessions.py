"""A repository as a destination: its channels, and what whoever is alone in it does (channels.py: what is where)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast

from metallize.errors import HostError
from metallize.events import Events
from metallize.release.catalogue import FILE, Catalogue, read_catalogue
from metallize.release.destinations import Fill
from metallize.release.registry import channels
from metallize.release.registry.access import Access
from metallize.release.registry.address import Address
from metallize.release.registry.artifacts import Descriptor
from metallize.release.registry.channels import Shown, Staged, settled_tag, staging_tag
from metallize.release.registry.lock import LockTag
from metallize.release.registry.releases import Offered, Shelf
from metallize.release.registry.repository import BlobBytes, Repository, damaged
from metallize.release.registry.uploading import Uploader, spooled
from metallize.release.remote import lease
from metallize.release.remote.lease import LEASE_SECONDS, Lease
from metallize.release.remote.reading import Reading
from metallize.release.retention import moment

_LEFT = timedelta(days=1)
"""So long what an attempt has left behind waits for the next one."""
_BUFFER_BYTES = 1 << 20
_DISK = ".containerdisk"
"""What a container disk's layer is called while it waits."""
_CHANGED = "somebody else has changed the channel meanwhile"
_NEXT = "run it again: what is written is used"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStore:
    """The whole destination."""

    address: Address

    @property
    def place(self) -> str:
        return self.address.place()

    def channels(self) -> tuple[str, ...]:
        return tuple(channels.names_of(self._repository()))

    def pointer(self, channel: str, name: str) -> bytes | None:
        return _pointer(self._repository(), channel, name)

    @contextmanager
    def session(self, channel: str, events: Events) -> Iterator[RegistrySession]:
        lock = LockTag(repository=self._repository())
        with lease.held(lock, events, LEASE_SECONDS) as holding:
            session = RegistrySession(repository=self._repository(), channel=channel, lease=holding, events=events)
            session.begin()
            yield session

    def _repository(self) -> Repository:
        return Repository(access=Access(self.address))


@dataclass(slots=True, kw_only=True)
class RegistrySession:
    """What the holder of the lock does."""

    repository: Repository
    channel: str
    lease: Lease
    events: Events
    _shown: Shown = field(default_factory=Shown)
    _staged: Staged = field(default_factory=Staged)

    def begin(self) -> None:
        """Do what killed sessions had decided and not done to its end."""
        self._staged = channels.staged(self.repository, self.channel)
        for channel in channels.names_of(self.repository):
            if self.repository.digest(channel) != self.repository.digest(settled_tag(channel)):
                now = channels.shown(self.repository, channel)
                self._settle(channel, now, self._offered(channel, now))
        self._shown = channels.shown(self.repository, self.channel)
        if self._not_waiting(self._staged) != self._staged:  # whoever switched was killed before it said so
            self._stage(self._not_waiting(self._staged))

    def pointer(self, name: str) -> bytes | None:
        return _pointer(self.repository, self.channel, name)

    def whole(self, name: str) -> bool:
        return name in self._shown.files or name in self._staged.files

    def published(self, name: str) -> bool:
        return name in self._shown.files

    def put(self, name: str, fill: Fill, about_bytes: int = 0) -> None:  # noqa: ARG002 - it is written to disk first
        self._require_unseen(name)
        left = self._staged.uploads.get(name, "")
        with spooled(fill) as spool:
            sent = self._uploader().send(name, spool, left)
        self._stage(self._staged.with_file(name, sent, moment(datetime.now(UTC))))

    def take(self, name: str, channel: str) -> None:
        self._require_unseen(name)
        source = channels.shown(self.repository, channel).files.get(name)
        if source is None:
            raise HostError(f"{self.repository.place(channel)}: {name} is not there", hint="has somebody removed it?")
        self._stage(self._staged.with_file(name, source, moment(datetime.now(UTC))))

    def discard(self, name: str) -> None:
        self._require_unseen(name)
        self._stage(self._staged.without(name))

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        found = self._shown.files.get(name) or self._staged.files.get(name)
        if found is None:
            raise HostError(
                f"{self.repository.place(self.channel)}: {name} is not there", hint="has somebody removed it?"
            )
        with _read(self.repository, found) as file:
            yield file

    def switch(self, names: Collection[str], pointers: Mapping[str, bytes]) -> None:
        there = {**self._staged.files, **self._shown.files}
        lacking = sorted(set(names) - set(there))
        if lacking:
            raise HostError(
                f"{self.repository.place(self.channel)}: {lacking[0]} is not there, and cannot be shown",
                hint="has somebody removed it? run it again",
            )
        uploader, before = self._uploader(), self._shown
        new = Shown(
            files={name: there[name] for name in names},
            pointers={name: uploader.content(name, content) for name, content in pointers.items()},
            number=before.number + 1,
        )
        offered = self._offered(self.channel, new)
        document = new.document()
        self._require_alone()
        if self.repository.digest(self.channel) != before.digest:
            raise HostError(f"{self.repository.place(self.channel)}: {_CHANGED}", hint=_NEXT)
        self.repository.put(document, self.channel)
        self._shown = channels.read_shown(self.repository, document)
        self._settle(self.channel, self._shown, offered)
        self._stage(self._not_waiting(self._staged.since(moment(datetime.now(UTC) - _LEFT))))

    # --- what stands beside a channel --------------------------------------------------------------------------------

    def _offered(self, channel: str, now: Shown) -> tuple[Offered, ...]:
        return self._shelf().made(self._catalogue(channel, now), now.files)

    def _settle(self, channel: str, now: Shown, offered: tuple[Offered, ...]) -> None:
        """Put the tags of releases in their places, take away those of others, and say that all is done."""
        before = self.repository.document(settled_tag(channel))
        shelf = self._shelf()
        shelf.show(offered)
        if before is not None:
            old = channels.read_shown(self.repository, before)
            elsewhere = {
                release.key
                for other in channels.names_of(self.repository)
                if other != channel
                for release in self._catalogue(other, channels.shown(self.repository, other)).releases
            }
            shelf.take_away(self._catalogue(channel, old), offered, elsewhere)
        self._require_alone()
        self.repository.put(now.document(), settled_tag(channel))
        if before is not None and before.digest != now.digest:
            self.repository.delete(before.digest)

    def _shelf(self) -> Shelf:
        return Shelf(
            repository=self.repository,
            uploader=self._uploader(),
            events=self.events,
            read=lambda blob: _read(self.repository, blob),
            known=self._disk,
        )

    def _disk(self, name: str, made: Descriptor | None) -> Descriptor | None:
        """A container disk's layer that waits with the other files."""
        if made is not None:
            self._stage(self._staged.with_file(f"{name}{_DISK}", made, moment(datetime.now(UTC))))
        return self._staged.files.get(f"{name}{_DISK}")

    def _catalogue(self, channel: str, now: Shown) -> Catalogue:
        """Of what a channel shows; with nothing in it where no release was ever there."""
        pointer = now.pointers.get(FILE)
        content = self.repository.small(pointer) if pointer is not None else None
        return read_catalogue(channel, content, self.repository.place(channel))

    # --- what no client sees -----------------------------------------------------------------------------------------

    def _uploader(self) -> Uploader:
        return Uploader(self.repository, self.lease.require, self._remember)

    def _remember(self, name: str, location: str) -> None:
        self._stage(replace(self._staged, uploads={**self._staged.uploads, name: location}))

    def _stage(self, staged: Staged) -> None:
        """Write down what waits."""
        self.lease.require()
        document = staged.document()
        if document.digest != self._staged.digest:
            self.repository.put(document, staging_tag(self.channel))
            if self._staged.digest is not None:
                self.repository.delete(self._staged.digest)
        self._staged = replace(staged, digest=document.digest)

    def _not_waiting(self, staged: Staged) -> Staged:
        """What waits, without what is shown."""
        for name in staged.files:
            if name.removesuffix(_DISK) in self._shown.files:
                staged = staged.without(name)
        return staged

    def _require_unseen(self, name: str) -> None:
        if name in self._shown.files:
            raise HostError(
                f"{self.repository.place(self.channel)}: {name} is published, and never written over",
                hint="choose another output.version",
            )

    def _require_alone(self) -> None:
        """Raises HostError where somebody else has the lock: nothing keeps them from what is written next."""
        self.lease.require()
        if not self.lease.is_in(LockTag(repository=self.repository).read()):
            raise HostError(f"{self.repository.place()}: somebody else has taken the lock meanwhile", hint=_NEXT)


class _Compared(Reading):
    """A file whose digest is compared where it is read from its beginning to its end."""

    def __init__(self, repository: Repository, blob: Descriptor) -> None:
        super().__init__(BlobBytes(repository=repository, blob=blob))
        self._repository, self._blob = repository, blob
        self._digest, self._hashed = hashlib.sha256(), 0

    def readinto(self, buffer: object, /) -> int:
        at = self.tell()
        count = super().readinto(buffer)  # type: ignore[arg-type]  # io's own buffer
        if at == self._hashed:
            self._digest.update(memoryview(buffer).cast("B")[:count])  # type: ignore[arg-type]  # the same
            self._hashed += count
        if not count and at == self._hashed and f"sha256:{self._digest.hexdigest()}" != self._blob.digest:
            raise damaged(self._repository, self._blob)
        return count


@contextmanager
def _read(repository: Repository, blob: Descriptor) -> Iterator[BinaryIO]:
    with _Compared(repository, blob) as raw, io.BufferedReader(raw, _BUFFER_BYTES) as file:
        yield cast("BinaryIO", file)


def _pointer(repository: Repository, channel: str, name: str) -> bytes | None:
    found = channels.shown(repository, channel).pointers.get(name)
    return repository.small(found) if found is not None else None
