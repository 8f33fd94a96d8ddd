"""An object as the bytes that are read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from botocore.exceptions import BotoCoreError

from metallize.release.objects.bucket import Bucket, Listed
from metallize.release.objects.errors import told
from metallize.release.remote.reading import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectBytes:
    """One object, the same one from beginning to end: where somebody puts another in its place, that is an error."""

    bucket: Bucket
    listed: Listed
    broken: ClassVar[tuple[type[Exception], ...]] = (BotoCoreError,)

    @property
    def size_bytes(self) -> int:
        return self.listed.size_bytes

    def opened(self, at: int) -> Body:
        return self.bucket.opened(self.listed.key, self.listed.etag, at)

    def give_up(self, error: Exception) -> None:
        with told(self.bucket.place(self.listed.key)):
            raise error
