"""A bucket, or what is below a prefix of it: objects and uploads in parts, with conditions on what is written.

Conditions are those of S3's conditional writes (Amazon S3 User Guide, "Add preconditions to S3 operations"):
`If-None-Match: *` writes where there is nothing, `If-Match` where there is still what was read.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from metallize.release.objects.errors import LACKING, UNMET, code_of, told
from metallize.release.remote.lease import Held

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

MARK = "metallize"
"""The metadata by which objects are known that were written here."""
ALWAYS = "no-cache"
"""For what changes: whoever holds a copy asks each time whether it is the newest."""
FOREVER = "public, max-age=31536000, immutable"
"""For what never changes."""
COPY_BYTES = 5 << 30
"""More than that a store does not copy in one request (CopyObject)."""
COPIED_PART_BYTES = 1 << 30
_SMALL_BYTES = 256 << 20
"""No pointer is larger; more is not read into memory, whatever somebody has put there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object as a list shows it."""

    key: str
    size_bytes: int
    etag: str
    written: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an upload that the store has."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload in parts that nobody has ended."""

    key: str
    id: str
    begun: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is below the prefix. Keys here are without it. Every call raises HostError for what the store refuses."""

    client: S3Client
    bucket: str
    prefix: str
    """Empty, or with a slash at its end."""

    def place(self, key: str) -> str:
        """As a person names it."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    # --- objects -----------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Held | None:
        """All of a small object; None where there is none."""
        with told(self.place(key)):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as exc:
                if code_of(exc) in LACKING:
                    return None
                raise
            with answer["Body"] as body:
                return Held(content=body.read(_SMALL_BYTES), etag=answer["ETag"])

    def opened(self, key: str, etag: str, at: int) -> StreamingBody:
        """The rest of that very object, as a stream that is to be closed."""
        with told(self.place(key)):
            answer = self.client.get_object(
                Bucket=self.bucket, Key=self.prefix + key, IfMatch=etag, Range=f"bytes={at}-"
            )
            return answer["Body"]

    def put(self, key: str, content: bytes, kind: str, cache: str, *, only_over: str | None) -> str | None:
        """Write an object over the one that has this ETag, or with None where there is none; its own ETag.

        None where that does not hold, and nothing is written.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_over is None else {"IfMatch": only_over}
        with told(self.place(key)):
            try:
                answer = self.client.put_object(
                    Bucket=self.bucket, Key=self.prefix + key, Body=content, ContentMD5=_md5(content),
                    ContentType=kind, CacheControl=cache, Metadata={MARK: "1"}, **condition,
                )  # fmt: skip
            except ClientError as exc:
                if code_of(exc) in UNMET or (only_over is not None and code_of(exc) in LACKING):
                    return None
                raise
        return answer["ETag"]

    def delete(self, key: str) -> None:
        """Take an object away; nothing where there is none."""
        with told(self.place(key)):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def listed(self, below: str) -> Iterator[Listed]:
        """The objects whose keys begin so."""
        with told(self.place(below)):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + below):
                for each in page.get("Contents", ()):
                    yield Listed(
                        key=each["Key"].removeprefix(self.prefix),
                        size_bytes=each["Size"],
                        etag=each["ETag"],
                        written=each["LastModified"],
                    )

    def is_ours(self, key: str) -> bool:
        """Whether it was written here, or is gone by now."""
        with told(self.place(key)):
            try:
                answer = self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as exc:
                if code_of(exc) in LACKING:
                    return True
                raise
        return MARK in answer["Metadata"]

    def copy(self, source: Listed, key: str) -> None:
        """The very same bytes under another key, without fetching them."""
        origin: Any = {"Bucket": self.bucket, "Key": self.prefix + source.key}
        target: Any = {"Bucket": self.bucket, "Key": self.prefix + key}
        with told(self.place(key)):
            if source.size_bytes <= COPY_BYTES:
                self.client.copy_object(CopySource=origin, CopySourceIfMatch=source.etag, **target)
                return
        upload = self.begin(key, "application/octet-stream")
        parts = []
        with told(self.place(key)):
            for number, at in enumerate(range(0, source.size_bytes, COPIED_PART_BYTES), start=1):
                end = min(at + COPIED_PART_BYTES, source.size_bytes) - 1
                done = self.client.upload_part_copy(
                    CopySource=origin, CopySourceIfMatch=source.etag, CopySourceRange=f"bytes={at}-{end}",
                    PartNumber=number, UploadId=upload, **target,
                )  # fmt: skip
                parts.append(Part(number=number, size_bytes=end + 1 - at, etag=done["CopyPartResult"]["ETag"]))
        self.complete(key, upload, parts)

    # --- uploads in parts --------------------------------------------------------------------------------------------

    def begin(self, key: str, kind: str) -> str:
        """Begin an upload; its id."""
        with told(self.place(key)):
            begun = self.client.create_multipart_upload(
                Bucket=self.bucket, Key=self.prefix + key, ContentType=kind, CacheControl=FOREVER, Metadata={MARK: "1"}
            )
        return begun["UploadId"]

    def unfinished(self, below: str) -> tuple[Unfinished, ...]:
        """Uploads to keys that begin so, the one begun last first."""
        with told(self.place(below)):
            pages = self.client.get_paginator("list_multipart_uploads")
            found = [
                Unfinished(key=each["Key"].removeprefix(self.prefix), id=each["UploadId"], begun=each["Initiated"])
                for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + below)
                for each in page.get("Uploads", ())
            ]
        return tuple(sorted(found, key=lambda each: each.begun, reverse=True))

    def parts(self, upload: Unfinished) -> dict[int, Part]:
        """What the store has of an upload, by number."""
        with told(self.place(upload.key)):
            pages = self.client.get_paginator("list_parts")
            found = pages.paginate(Bucket=self.bucket, Key=self.prefix + upload.key, UploadId=upload.id)
            return {
                each["PartNumber"]: Part(number=each["PartNumber"], size_bytes=each["Size"], etag=each["ETag"])
                for page in found
                for each in page.get("Parts", ())
            }

    def send(self, key: str, upload: str, number: int, content: bytes | bytearray, md5: bytes) -> Part:
        """Upload a part, whose MD5 the store compares."""
        with told(f"{self.place(key)}, part {number}"):
            done = self.client.upload_part(
                Bucket=self.bucket, Key=self.prefix + key, UploadId=upload, PartNumber=number,
                Body=content,  # type: ignore[arg-type]  # botocore takes a bytearray, which its stubs do not know
                ContentMD5=b64encode(md5).decode(),
            )  # fmt: skip
        return Part(number=number, size_bytes=len(content), etag=done["ETag"])

    def complete(self, key: str, upload: str, parts: Iterable[Part]) -> bool:
        """Make an object of an upload where there is none of that key; False where there is one, and it stays."""
        listed: Any = {"Parts": [{"PartNumber": each.number, "ETag": each.etag} for each in parts]}
        with told(self.place(key)):
            try:
                self.client.complete_multipart_upload(
                    Bucket=self.bucket, Key=self.prefix + key, UploadId=upload, MultipartUpload=listed, IfNoneMatch="*"
                )
            except ClientError as exc:
                # NoSuchUpload: an answer was lost on the way, and the request was sent again.
                if code_of(exc) in UNMET | {"NoSuchUpload"} and any(each.key == key for each in self.listed(key)):
                    return False
                raise
        return True

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload with all of its parts."""
        with told(self.place(key)):
            try:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.prefix + key, UploadId=upload)
            except ClientError as exc:
                if code_of(exc) not in LACKING | {"NoSuchUpload"}:
                    raise


def _md5(content: bytes) -> str:
    """What the store holds what has arrived to (Content-MD5); no secret depends on it."""
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
