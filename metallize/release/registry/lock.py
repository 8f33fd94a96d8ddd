"""The lock of a repository: a manifest under a tag of its own.

No registry writes on a condition. So whoever sees it free writes it, waits until every write of others who saw the same
must have ended, and holds it where it is still theirs (Fischer's algorithm; Lamport, A Fast Mutual Exclusion Algorithm,
1987). A write that took longer than that is an error: somebody else may hold it by then, and will find out.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from metallize.errors import HostError
from metallize.patience import REGISTRY_SETTLED
from metallize.release.registry import artifacts
from metallize.release.registry.repository import Repository
from metallize.release.registry.uploading import Uploader
from metallize.release.remote.lease import Held

TAG = "_lock"
_SAYS = "metallize.lock"


@dataclass(slots=True, kw_only=True)
class LockTag:
    """The one of this repository, with a line of its own: it is renewed while files go over another."""

    repository: Repository
    _own: str | None = None
    """What was written last and held."""
    _ready: bool = False

    @property
    def place(self) -> str:
        return self.repository.place(TAG)

    @property
    def destination(self) -> str:
        return self.repository.place()

    def read(self) -> Held | None:
        found = self.repository.document(TAG)
        if found is None:
            return None
        return Held(content=found.annotations.get(_SAYS, "").encode(), etag=found.digest)

    def write(self, content: bytes, only_over: str | None) -> str | None:
        document = artifacts.manifest(artifacts.LOCK, (), {_SAYS: content.decode()})
        self._prepare()
        begun = time.monotonic()
        if self.repository.digest(TAG) != only_over:
            return None
        self.repository.push(document, TAG)
        if self._own is None or only_over != self._own:
            took = time.monotonic() - begun
            if took > REGISTRY_SETTLED:
                raise HostError(
                    f"{self.place}: the registry took {took:.1f} s to write it: somebody else may have it as well",
                    hint="run it again, when the registry or the connection is better",
                )
            threading.Event().wait(REGISTRY_SETTLED)
            if self.repository.digest(TAG) != document.digest:
                self.repository.delete(document.digest)
                return None
        if only_over is not None and only_over != document.digest:
            self.repository.delete(only_over)
        self._own = document.digest
        return document.digest

    def _prepare(self) -> None:
        """What takes a while once: to be let in, and to have what every manifest refers to."""
        if not self._ready:
            self.repository.require_rights()
            uploader = Uploader(self.repository, lambda: None, lambda _name, _location: None)
            uploader.content("empty", artifacts.EMPTY_CONTENT)
            self._ready = True
