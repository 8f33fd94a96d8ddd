"""The lock of a bucket: an object that changes hands by conditional writes alone."""

from __future__ import annotations

from dataclasses import dataclass

from metallize.errors import HostError
from metallize.release.objects.bucket import ALWAYS, Bucket
from metallize.release.remote.lease import Held

LOCK = ".metallize/lock"
_JSON = "application/json"
_NO_ETAG = '"00000000000000000000000000000000"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LockObject:
    """The one of this bucket."""

    bucket: Bucket

    @property
    def place(self) -> str:
        return self.bucket.place(LOCK)

    @property
    def destination(self) -> str:
        return self.bucket.place("")

    def read(self) -> Held | None:
        return self.bucket.get(LOCK)

    def write(self, content: bytes, only_over: str | None) -> str | None:
        return self.bucket.put(LOCK, content, _JSON, ALWAYS, only_over=only_over)

    def require_conditions(self, content: bytes) -> None:
        """Raises HostError where the store writes whatever the conditions say. The lock is there, and ours."""
        for condition, only_over in (("If-None-Match", None), ("If-Match", _NO_ETAG)):
            if self.write(content, only_over) is not None:
                self.bucket.delete(LOCK)
                raise HostError(
                    f"{self.destination}: this store does not keep the condition {condition} of a write, and two"
                    " publishers at once would write over each other",
                    hint="publish to a store with conditional writes (docs/release.md), or to a folder, and copy that",
                )
