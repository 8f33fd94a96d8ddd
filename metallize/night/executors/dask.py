"""dask://HOST:PORT: the cells boot on the workers of a scheduler of dask.distributed, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metallize.night.executors import Ground
from metallize.night.fleet.depot import serving
from metallize.night.fleet.keys import Keys, is_loopback, keys_in
from metallize.night.fleet.leading import OnFleet
from metallize.night.fleet.link import Link, Place, distributed, place_of
from metallize.night.history import FOLDER

SCHEMES = ("dask",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dask:
    """The fleet of one scheduler."""

    place: Place
    keys: Keys | None
    here: bool = False

    @contextmanager
    def session(self, ground: Ground) -> Iterator[OnFleet]:
        """Raises HostError where the scheduler does not answer."""
        fleet = OnFleet(ground=ground, connect=lambda: Link(self.place, self.keys))
        try:
            with serving(fleet.link.own, self._keys(fleet.link.own), ground.build_dir / FOLDER / "fleet") as depot:
                fleet.depot = depot
                yield fleet
        finally:
            fleet.close()

    def _keys(self, host: str) -> Keys | None:
        """By TLS wherever there are keys; on the loopback there need be none."""
        return None if self.keys is None and is_loopback(host) else self.keys


def open_executor(place: str, keys: Path | None) -> Dask:
    """Raises UsageError for what is no place or no keys, and HostError where dask is not installed."""
    found = Dask(place=place_of(place), keys=None if keys is None else keys_in(keys))
    distributed()
    return found
