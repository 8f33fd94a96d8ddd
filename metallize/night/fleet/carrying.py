"""How images go to workers and evidence comes back: by HTTP or in a shared folder, as each side sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from metallize.night.fleet.depot import Address
from metallize.night.fleet.fetching import FromDepot
from metallize.night.fleet.keys import Keys
from metallize.night.fleet.shared import FromShared, SharedAddress


class Carrier(Protocol):
    """The night's host's side."""

    @property
    def address(self) -> Address | SharedAddress:
        """Where a worker finds it."""
        ...

    def offer(self, sha256: str, image: Callable[[], Path]) -> None:
        """Have an image handed out. Raises HostError."""
        ...

    def begin(self, key: str) -> None:
        """From now on somebody waits for that boot. Raises HostError."""
        ...

    def forget(self, key: str) -> None:
        """Nobody does any more."""
        ...

    def evidence(self, sha256: str) -> Path | None:
        """What has come whole."""
        ...


class Source(Protocol):
    """A worker's side."""

    def image(self, sha256: str, sink: BinaryIO, lost: Callable[[], str] = lambda: "") -> None:
        """Write an image's bytes, whatever they are. Raises HostError; OSError of the sink."""
        ...

    def evidence(self, sha256: str, path: Path) -> None:
        """Put it there. Raises HostError."""
        ...

    def awaits(self, key: str) -> bool | None:
        """Whether somebody waits for that boot still; None where nobody gives a sign."""
        ...


def source_at(address: Address | SharedAddress, keys: Keys | None, shared: Path | None) -> Source:
    """What a worker takes from and gives to. `shared` is where it has the shared folder, if elsewhere."""
    if isinstance(address, SharedAddress):
        return FromShared(address=address, mounted=shared)
    return FromDepot(address=address, keys=keys)
