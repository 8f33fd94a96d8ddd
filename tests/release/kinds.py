"""The kinds of destination as tests know them: how one is made, what clients fetch of it, how it gets full."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.error import HTTPError

import boto3

from metallize.release.catalogue import FILE, read_catalogue
from metallize.release.sums import read_sums
from tests.registry import Registry
from tests.release.stores import Answer, Between, Forward, Request, refusal


class Kind(Protocol):
    """One of them."""

    calls: ClassVar[tuple[str, ...]]
    """The audit events (sys.addaudithook) before each of which a publisher may be killed."""
    at_once: ClassVar[bool]
    """Whether all pointers change at once; where they do not, each by itself is whole."""

    def make(self, name: str) -> str:
        """An empty one, as `--to` is given it."""
        ...

    def fetch(self, place: str, path: str) -> bytes | None:
        """What clients are given there; None where there is nothing."""
        ...

    def full(self) -> AbstractContextManager[str]:
        """A disk or a store without room for much, and what it says."""
        ...

    def require_nothing_left(self, place: str) -> None:
        """Of attempts that were killed, once one was not."""
        ...


@dataclass(frozen=True)
class FolderKind:
    tmp_path: Path
    calls: ClassVar[tuple[str, ...]] = (
        "open",
        "os.rename",
        "os.link",
        "os.mkdir",
        "os.symlink",
        "os.remove",
        "os.chmod",
        "os.rmdir",
    )
    at_once: ClassVar[bool] = True

    def make(self, name: str) -> str:
        return str(self.tmp_path / f"{name} with space, and ü")

    def fetch(self, place: str, path: str) -> bytes | None:
        try:
            return Path(place, path).read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def full(self) -> Iterator[str]:
        """The kernel's limit of a file's size says the same as a disk without room."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            yield "File too large"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def require_nothing_left(self, place: str) -> None:
        assert list(Path(place, ".metallize").rglob("*.part")) == []


@dataclass(frozen=True)
class S3Kind:
    """Buckets of a store that everybody may read from, as a release's is."""

    proxy: Between
    calls: ClassVar[tuple[str, ...]] = ("http.client.send",)
    at_once: ClassVar[bool] = False

    def make(self, name: str) -> str:
        bucket = f"releases-{os.urandom(6).hex()}"
        client = boto3.client("s3")
        client.create_bucket(Bucket=bucket)
        public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
        return f"s3://{bucket}/{name}/with space"

    def fetch(self, place: str, path: str) -> bytes | None:
        return s3_get(self.proxy.target, place, path)

    @contextmanager
    def full(self) -> Iterator[str]:
        """As MinIO tells it."""

        def rule(request: Request, forward: Forward) -> Answer:
            if request.method == "PUT" and len(request.body) > 100_000:
                return refusal(
                    507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."
                )
            return forward(request)

        self.proxy.rule = rule
        try:
            yield "XMinioStorageFull"
        finally:
            self.proxy.rule = None

    def require_nothing_left(self, place: str) -> None:
        bucket = place.removeprefix("s3://").partition("/")[0]
        assert boto3.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@dataclass(frozen=True)
class OciKind:
    """Repositories of a registry."""

    line: Between
    registry: Registry
    calls: ClassVar[tuple[str, ...]] = ("http.client.send",)
    at_once: ClassVar[bool] = True

    def make(self, name: str) -> str:
        return f"oci://{self.line.url.removeprefix('http://')}/own/{os.urandom(6).hex()}/{name.replace(' ', '-')}"

    def fetch(self, place: str, path: str) -> bytes | None:
        channel, _, name = path.partition("/")
        for layer in oci_document(self.registry, place, channel).get("layers", ()):
            if layer["annotations"]["org.opencontainers.image.title"] == name:
                return oci_get(self.registry, place, f"blobs/{layer['digest']}")
        return None

    @contextmanager
    def full(self) -> Iterator[str]:
        """The kernel's limit of a file's size says the same to the registry as a disk without room."""
        soft, hard = resource.prlimit(self.registry.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.registry.pid, resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            yield "was refused"
        finally:
            resource.prlimit(self.registry.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def require_nothing_left(self, place: str) -> None:
        """Nothing waits, and the lock is free."""
        assert oci_document(self.registry, place, "_staging.stable")["layers"] == [EMPTY]
        assert oci_document(self.registry, place, "_lock")["annotations"] == {"metallize.lock": "{}\n"}

    def untagged(self, place: str) -> int:
        """How many manifests the registry keeps that no tag is of."""
        tags = json.loads(oci_get(self.registry, place, "tags/list") or b"")["tags"]
        there = {json.dumps(oci_document(self.registry, place, tag)) for tag in tags}
        links = self.registry.folder.rglob(f"{place.rpartition('/own/')[2]}/_manifests/revisions/sha256/*/link")
        return len(list(links)) - len(there)


EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
    "size": 2,
}


def oci_document(registry: Registry, place: str, reference: str) -> dict[str, Any]:
    """A manifest or an index as any client gets it; an empty one where there is none."""
    content: dict[str, Any] = json.loads(oci_get(registry, place, f"manifests/{reference}") or b"{}")
    return content


def oci_get(registry: Registry, place: str, path: str) -> bytes | None:
    """What a repository has there; asked again where a tag is just being written (docs/release.md)."""
    repository = place.split("/", 3)[3]
    kinds = [f"application/vnd.oci.image.{each}.v1+json" for each in ("manifest", "index")]
    request = urllib.request.Request(
        f"http://{registry.host}/v2/{repository}/{path}", headers={"Accept": ", ".join(kinds)}
    )
    for left in reversed(range(5)):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
                content: bytes = answer.read()
                return content
        except HTTPError as exc:
            if exc.code == 404:
                return None
            if exc.code != 500 or not path.startswith("manifests/") or not left:
                raise
        time.sleep(0.02)
    return None


def s3_get(endpoint: str, place: str, path: str) -> bytes | None:
    """An object as a browser gets it."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    address = urllib.parse.quote(f"{bucket}/{prefix}/{path}")
    try:
        with urllib.request.urlopen(f"{endpoint}/{address}", timeout=60) as answer:  # noqa: S310 - our own server
            content: bytes = answer.read()
            return content
    except HTTPError as exc:
        if exc.code == 404:
            return None
        raise


def seen_by_clients(kind: Kind, place: str, channel: str = "stable") -> tuple[str, ...]:
    """The versions that are offered, after looking as each client does that what is listed is there and is right.

    Nothing is written meanwhile by anybody: the pointers agree.
    """
    listed = kind.fetch(place, f"{channel}/SHA256SUMS")
    if listed is None:
        return ()
    sums = read_sums(listed.decode())
    for name, sha256 in sums.items():
        content = kind.fetch(place, f"{channel}/{name}")
        assert content is not None, name
        assert hashlib.sha256(content).hexdigest() == sha256, name
    found = read_catalogue(channel, kind.fetch(place, f"{channel}/{FILE}"), "there")
    assert {file.name: file.sha256 for file in found.offered} == dict(sums)
    assert all(kind.fetch(place, f"{channel}/{name}") is not None for name in found.kept)
    page = (kind.fetch(place, f"{channel}/index.html") or b"").decode()
    assert all(release.version in page for release in found.releases)
    return tuple(release.version for release in found.releases)


def each_pointer(kind: Kind, place: str, channel: str = "stable") -> set[tuple[str, ...]]:
    """What versions each pointer offers, after looking that all is there and right that it tells of."""
    offered = set()
    sums = read_sums((kind.fetch(place, f"{channel}/SHA256SUMS") or b"").decode())
    catalogue = read_catalogue(channel, kind.fetch(place, f"{channel}/{FILE}"), "there")
    page = (kind.fetch(place, f"{channel}/index.html") or b"").decode()
    listed = {file.name: file.sha256 for file in catalogue.offered}
    linked = set(re.findall(r'href="(web_[^"]*)"', page))
    seen: dict[str, str] = {}
    for name in {*sums, *listed, *linked}:
        content = kind.fetch(place, f"{channel}/{name}")
        assert content is not None, name
        seen[name] = hashlib.sha256(content).hexdigest()
    for found in (sums, listed):
        assert all(seen[name] == sha256 for name, sha256 in found.items())
    for names in (set(sums), set(listed), linked):
        versions = {name.split("_")[1] for name in names}
        offered.add(tuple(sorted(versions, reverse=True)))
        for version in versions:
            assert {f"web_{version}_x86-64.raw{end}" for end in (".xz", ".bmap", ".cdx.json")} <= names
    return offered
