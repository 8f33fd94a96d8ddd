"""dask://HOST:PORT: the cells boot on the workers of a scheduler of dask.distributed, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metallize.errors import UsageError
from metallize.night.executors import Ground
from metallize.night.fleet.carrying import Carrier
from metallize.night.fleet.depot import serving
from metallize.night.fleet.keys import Keys, is_loopback, keys_in
from metallize.night.fleet.leading import OnFleet
from metallize.night.fleet.link import Link, Place, distributed, place_of
from metallize.night.fleet.shared import sharing
from metallize.night.history import FOLDER

SCHEMES = ("dask",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dask:
    """The fleet of one scheduler."""

    place: Place
    keys: Keys | None
    shared: Path | None = None
    """The folder in which images and evidence travel; None: they do over HTTP."""
    here: bool = False

    @contextmanager
    def session(self, ground: Ground) -> Iterator[OnFleet]:
        """Raises HostError where the scheduler does not answer."""
        fleet = OnFleet(ground=ground, connect=lambda: Link(self.place, self.keys))
        try:
            with self._carrier(fleet.link.own, ground.build_dir) as carrier:
                fleet.depot = carrier
                yield fleet
        finally:
            fleet.close()

    def _carrier(self, host: str, build_dir: Path) -> AbstractContextManager[Carrier]:
        if self.shared is not None:
            return sharing(self.shared)
        return serving(host, self._keys(host), build_dir / FOLDER / "fleet")

    def _keys(self, host: str) -> Keys | None:
        """By TLS wherever there are keys; on the loopback there need be none."""
        return None if self.keys is None and is_loopback(host) else self.keys


def open_executor(place: str, keys: Path | None, shared: Path | None) -> Dask:
    """Raises UsageError for what is no place, no keys or no folder, and HostError where dask is not installed."""
    if shared is not None and not shared.is_dir():
        raise UsageError(f"--shared {shared}: it is no folder", hint="one that the workers see, too; make it first")
    found = Dask(place=place_of(place), keys=None if keys is None else keys_in(keys), shared=shared)
    distributed()
    return found
