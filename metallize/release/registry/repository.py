"""A repository of a registry: blobs, manifests and tags. What is read is what its digest says, or an error."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Protocol
from urllib.parse import quote, urljoin

import requests
import urllib3

from metallize.errors import HostError
from metallize.patience import FETCH_SLOW, REGISTRY_HALF_WRITTEN
from metallize.release.registry.access import Access
from metallize.release.registry.artifacts import INDEX, MANIFEST, Descriptor, Document, digest_of, read_document
from metallize.release.registry.errors import RefusedError, unreachable
from metallize.release.remote.paced import Answer, pieces
from metallize.release.remote.reading import Body

_SMALL_BYTES = 256 << 20
"""No manifest or pointer is larger; more is not read into memory, whatever somebody has put there."""
_ATTEMPTS = 3
_HALF_WRITTEN = "DIGEST_INVALID"
"""Debian's registry (2.8, on a disk) says so of a manifest: the link to a blob is written anew by whoever sends it."""
_KINDS = f"{MANIFEST}, {INDEX}"
_LIES = "the registry, or what stands before it, is damaged: see its log, or choose another destination"


class Answered(Body, Answer, Protocol):
    """What an answer carries, to be read as it comes too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Every call raises HostError for what the registry refuses."""

    access: Access

    def place(self, tag: str = "") -> str:
        return self.access.address.place(tag)

    # --- blobs -------------------------------------------------------------------------------------------------------

    def blob_bytes(self, digest: str) -> int | None:
        """How large a blob is; None where there is none."""
        with self.access.ask("HEAD", f"blobs/{digest}", what=digest, accepted={200, 404}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            length = answer.headers.get("Content-Length", "")
            return int(length) if length.isdecimal() else 0

    def small(self, blob: Descriptor) -> bytes:
        """All of a small blob. Raises HostError where it is another, or none."""
        source, parts, seen = BlobBytes(repository=self, blob=blob), [], 0
        body = source.opened(0)
        try:
            while part := body.read(1 << 20):
                parts.append(part)
                seen += len(part)
                if seen > min(blob.size_bytes, _SMALL_BYTES):
                    break
        except source.broken as exc:
            source.give_up(exc)
        finally:
            body.close()
        content = b"".join(parts)
        if digest_of(content) != blob.digest:
            raise damaged(self, blob)
        return content

    def require_rights(self) -> None:
        """Raises HostError where nothing may be written: an upload is begun, and ended with nothing in it."""
        with self.access.ask("POST", "blobs/uploads/", what="an upload", accepted={202}) as answer:
            location = self.access.location(answer)
        # A registry that keeps it instead forgets it by itself.
        self.access.ask("DELETE", location, what="an upload", accepted=range(200, 500)).close()

    # --- manifests ---------------------------------------------------------------------------------------------------

    def document(self, reference: str) -> Document | None:
        """The manifest or index of a tag or a digest; None where there is none."""
        headers = {"Accept": _KINDS}
        path = f"manifests/{reference}"
        with self.access.ask("GET", path, what=reference, headers=headers, accepted={200, 404}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            try:
                content = _all(answer)
            except (TimeoutError, urllib3.exceptions.HTTPError) as exc:
                raise unreachable(self.place(reference), exc) from exc
        if reference.startswith("sha256:") and digest_of(content) != reference:
            raise HostError(f"{self.place()}: {reference} reads as {digest_of(content)}", hint=_LIES)
        try:
            return read_document(content)
        except (ValueError, LookupError, TypeError, RecursionError) as exc:
            raise HostError(f"{self.place(reference)} is no manifest: {exc}", hint=_LIES) from exc

    def digest(self, tag: str) -> str | None:
        """What a tag is of now; None where there is none."""
        headers = {"Accept": _KINDS}
        with self.access.ask("HEAD", f"manifests/{tag}", what=tag, headers=headers, accepted={200, 404}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            told = answer.headers.get("Docker-Content-Digest", "")
        if re.fullmatch(r"sha256:[0-9a-f]{64}", told):
            return told
        found = self.document(tag)
        return found.digest if found is not None else None

    def push(self, document: Document, tag: str | None = None) -> bool:
        """Store a manifest, under a tag or its digest alone; whether its subject was understood.

        It is asked again where the registry found what the manifest refers to half-written: somebody else stores the
        same at that moment.
        """
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._pushed(document, tag or document.digest)
            except RefusedError as exc:
                if exc.code != _HALF_WRITTEN or not left:
                    raise
            threading.Event().wait(REGISTRY_HALF_WRITTEN)
        raise AssertionError("the last attempt returns or raises")

    def _pushed(self, document: Document, reference: str) -> bool:
        headers = {"Content-Type": document.media_type}
        with self.access.ask(
            "PUT", f"manifests/{reference}", what=reference, headers=headers, body=document.content,
            accepted={200, 201, 202},
        ) as answer:  # fmt: skip
            return "OCI-Subject" in answer.headers

    def put(self, document: Document, tag: str | None = None) -> bool:
        """The same, and read it back. Raises HostError where it is another."""
        linked, reference = self.push(document, tag), tag or document.digest
        there = self.document(reference)
        if there is None or there.content != document.content:
            raise HostError(
                f"{self.place(reference)} does not read as it was written",
                hint="somebody else has written it meanwhile, or the registry is damaged: run it again, or see its log",
            )
        return linked

    def delete(self, digest: str) -> bool:
        """Take a manifest away with all tags of it; False where the registry deletes nothing."""
        path = f"manifests/{digest}"
        with self.access.ask("DELETE", path, what=digest, accepted={200, 202, 404, 405}) as answer:
            return answer.status_code != HTTPStatus.METHOD_NOT_ALLOWED

    def tags(self) -> Iterator[str]:
        """All of the repository; none where there is no repository yet."""
        path = "tags/list?n=1000"
        while path:
            with self.access.ask("GET", path, what="its tags", accepted={200, 404}) as answer:
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    return
                try:
                    found = answer.json()["tags"] or ()
                    yield from (str(each) for each in found)
                except (requests.RequestException, ValueError, LookupError, TypeError) as exc:
                    raise HostError(f"{self.place()}: its list of tags cannot be read: {exc}", hint=_LIES) from exc
                link = re.match(r'\s*<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
                path = urljoin(answer.url, link[1]) if link else ""

    def referrers(self, digest: str) -> Document | None:
        """The list of what has that manifest as its subject; None where the registry keeps none by itself."""
        path = f"referrers/{quote(digest)}"
        with self.access.ask("GET", path, what="referrers", accepted={200, 404, 405}) as answer:
            if answer.status_code != HTTPStatus.OK or answer.headers.get("Content-Type", "").split(";")[0] != INDEX:
                return None
            try:
                return read_document(_all(answer))
            except (TimeoutError, urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError, RecursionError):
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobBytes:
    """A blob as the bytes that are read of it. Whoever reads all of it compares its digest."""

    repository: Repository
    blob: Descriptor
    broken: ClassVar[tuple[type[Exception], ...]] = (urllib3.exceptions.HTTPError, requests.RequestException)

    @property
    def size_bytes(self) -> int:
        return self.blob.size_bytes

    def opened(self, at: int) -> Answered:
        headers = {"Range": f"bytes={at}-"} if at else {}
        accepted = {HTTPStatus.PARTIAL_CONTENT} if at else {HTTPStatus.OK}
        what = self.blob.title or self.blob.digest
        path = f"blobs/{self.blob.digest}"
        answer = self.repository.access.ask("GET", path, what=what, headers=headers, accepted=accepted)
        body: Answered = answer.raw
        return body

    def give_up(self, error: Exception) -> None:
        raise unreachable(f"{self.repository.place()}: {self.blob.title or self.blob.digest}", error) from error


def _all(answer: requests.Response) -> bytes:
    """What it carries, up to what a manifest may have. Raises TimeoutError for a registry that wastes time."""
    content = bytearray()
    for piece in pieces(answer.raw, (urllib3.exceptions.HTTPError,), FETCH_SLOW):
        content += piece
        if len(content) > _SMALL_BYTES:
            break
    return bytes(content)


def damaged(repository: Repository, blob: Descriptor) -> HostError:
    """The error of a blob that is not what its digest says."""
    return HostError(
        f"{repository.place()}: {blob.title or 'a blob'} does not read as its digest {blob.digest} says", hint=_LIES
    )
