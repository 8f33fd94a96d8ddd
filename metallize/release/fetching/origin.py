"""Where a release is fetched from: the folder of a channel on a web server, or a tag of a registry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
import urllib3

from metallize.errors import HostError, UsageError
from metallize.events import Events
from metallize.patience import FETCH_SLOW
from metallize.release.fetching.web import Web, bounded, resumed
from metallize.release.registry.access import Access
from metallize.release.registry.address import address_of
from metallize.release.registry.artifacts import CHANNEL, RELEASE, Descriptor
from metallize.release.registry.repository import BlobBytes, Repository, damaged
from metallize.release.remote.paced import pieces

SUFFIXES = (".raw.xz", ".iso", ".qcow2", ".vmdk", ".vhdx", ".tar")
"""Of a release's images."""
_REFERENCE = re.compile(
    r"(.+?://[^/]+/[^:@]+?)/?(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})|@(sha256:[0-9a-f]{64}))(?:/(.*))?"
)
"""A repository's address, a tag or a digest of it, and a file's name there (OCI Distribution Specification 1.1)."""
_EXAMPLE = "oci://HOST/REPOSITORY:CHANNEL, or a file in it: oci://HOST/REPOSITORY:CHANNEL/FILE"
_BROKEN = (OSError, urllib3.exceptions.HTTPError, requests.RequestException)


class Origin(Protocol):
    """Files by their names, from a server that is not believed."""

    @property
    def address(self) -> str:
        """Of all of them, with no slash behind."""
        ...

    def told(self, name: str) -> str:
        """The address of one."""
        ...

    def small(self, name: str, most_bytes: int) -> bytes | None:
        """All of a small file; None where there is none. Raises HostError for anything else."""
        ...

    def body(self, name: str, size_bytes: int) -> Iterator[bytes]:
        """A file of a known size, piece by piece, on from where the line broke. Raises HostError."""
        ...

    def bound(self) -> Mapping[str, str]:
        """The sha256 of each file by its name, where the origin binds them by itself; empty where a list has to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Of a web server."""

    address: str
    web: Web

    def told(self, name: str) -> str:
        return f"{self.address}/{quote(name)}"

    def small(self, name: str, most_bytes: int) -> bytes | None:
        return self.web.small(self.told(name), most_bytes)

    def body(self, name: str, size_bytes: int) -> Iterator[bytes]:
        return self.web.body(self.told(name), size_bytes)

    def bound(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Of a registry: what a manifest lists, read once, so that whoever moves the tag meanwhile changes nothing."""

    address: str
    repository: Repository
    files: Mapping[str, Descriptor]
    events: Events = field(repr=False)

    def told(self, name: str) -> str:
        return f"{self.address}/{name}"

    def small(self, name: str, most_bytes: int) -> bytes | None:
        blob = self.files.get(name)
        if blob is None:
            return None
        told = self.told(name)
        try:
            content = b"".join(bounded(self._from(blob, 0), min(most_bytes, blob.size_bytes), told))
        except _BROKEN as exc:
            BlobBytes(repository=self.repository, blob=blob).give_up(exc)
            raise  # it has raised
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != blob.digest:
            raise damaged(self.repository, blob)
        return content

    def body(self, name: str, size_bytes: int) -> Iterator[bytes]:
        blob, told = self.files.get(name), self.told(name)
        if blob is None or blob.size_bytes != size_bytes:
            there = (
                "is not there" if blob is None else f"has {blob.size_bytes} bytes there, and {size_bytes} as released"
            )
            raise HostError(f"{told} {there}", hint="the tag was changed by somebody else: publish it anew")
        return resumed(
            lambda at: bounded(self._from(blob, at), size_bytes - at, told), told, size_bytes, self.events, _BROKEN
        )

    def bound(self) -> Mapping[str, str]:
        return {name: blob.digest.removeprefix("sha256:") for name, blob in self.files.items()}

    def _from(self, blob: Descriptor, start: int) -> Iterator[bytes]:
        body = BlobBytes(repository=self.repository, blob=blob).opened(start)
        try:
            yield from pieces(body, _BROKEN, FETCH_SLOW)
        finally:
            body.close()


def origin_at(address: str, events: Events) -> tuple[Origin, str]:
    """What is at an address, and the name of the file that is meant; empty where none is named.

    Raises UsageError for what is no such address, HostError where a registry does not tell.
    """
    return _tag(address, events) if address.startswith("oci") else _folder(address, events)


def _folder(address: str, events: Events) -> tuple[Origin, str]:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"{address} is no address of a release", hint="https://example.com/stable, or of a file in it")
    folder, _, last = parts.path.rpartition("/")
    is_file = last.endswith(SUFFIXES)
    path = folder if is_file else parts.path
    base = urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), "", ""))
    return Folder(address=base, web=Web(events=events)), unquote(last) if is_file else ""


def _tag(address: str, events: Events) -> tuple[Origin, str]:
    match = _REFERENCE.fullmatch(address)
    if match is None:
        raise UsageError(f"{address} names no channel of a repository", hint=_EXAMPLE)
    place, tag, digest, name = match.groups()
    repository = Repository(access=Access(address_of(place)))
    files = _files(repository, tag or digest)
    told = f"{repository.place()}{f':{tag}' if tag else f'@{digest}'}"
    return Tag(address=told, repository=repository, files=files, events=events), name or ""


def _files(repository: Repository, reference: str) -> Mapping[str, Descriptor]:
    """Of a channel, or of a release: all architectures'."""
    found = repository.document(reference)
    if found is None:
        raise UsageError(f"{repository.place()} has no {reference}", hint=f"metallize releases {repository.place()}")
    parts = [found]
    if found.entries and found.artifact_type == RELEASE:
        parts = [each for entry in found.entries if (each := repository.document(entry.digest)) is not None]
    if any(each.artifact_type not in (CHANNEL, RELEASE) for each in parts):
        raise UsageError(f"{repository.place()}: {reference} is no release that metallize made", hint=_EXAMPLE)
    return {layer.title: layer for each in parts for layer in each.layers if layer.title}
