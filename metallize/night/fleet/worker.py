"""`metallize worker`: this host boots cells for whoever leads a night, until it is ended.

The connection to dask lives in a thread of its own. A scheduler that is not there, or goes, is looked for again; the
boots that went on are ended, since nobody would hear of them.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metallize.catalog import Catalog
from metallize.errors import MetallizeError
from metallize.events import Events, Level, Note
from metallize.model.machine import Machine
from metallize.night.fleet.cache import ImageCache
from metallize.night.fleet.facts import Facts, facts_here, plain_of, supplies_of
from metallize.night.fleet.keys import Keys, require_keys
from metallize.night.fleet.link import TOLD, Place, contact, distributed, own_address, plugin, security
from metallize.night.fleet.scratch import own_folder
from metallize.night.fleet.task import Bench
from metallize.patience import FLEET_CONNECT as CONNECT_SECONDS

IMAGES, SCRATCH = "images", "work"
_AGAIN_SECONDS = 1.0
_TELL_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Serving:
    """A worker, while it serves one scheduler after another."""

    place: Place
    keys: Keys | None
    folder: Path
    cache_bytes: int
    events: Events
    shared: Path | None = None
    """Where the shared folder of a night is here; None: where the night's host has it."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _error: BaseException | None = None

    def run(self) -> None:
        """Until it is interrupted. Raises HostError where it cannot begin."""
        require_keys(self.place.host, self.keys)
        distributed()
        facts = facts_here(each for each in Catalog().machines.values() if isinstance(each, Machine))
        with own_folder(self.folder / SCRATCH) as scratch:
            thread = threading.Thread(target=self._serve, args=(facts, scratch), name="fleet worker", daemon=True)
            thread.start()
            try:
                while thread.is_alive():
                    thread.join(_AGAIN_SECONDS)
            finally:
                self._stop.set()
                while thread.is_alive():
                    thread.join(_AGAIN_SECONDS)
        if self._error is not None:
            raise self._error

    def _serve(self, facts: Facts, scratch: Path) -> None:
        try:
            asyncio.run(self._always(facts, scratch))
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits
            self._error = exc

    async def _always(self, facts: Facts, scratch: Path) -> None:
        told = -_TELL_SECONDS
        while not self._stop.is_set():
            try:
                await self._once(facts, scratch)
                told = -_TELL_SECONDS
            except (MetallizeError, OSError, TimeoutError, ValueError, RuntimeError) as exc:
                if time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    self._say(f"no scheduler at {self.place}: {_cause(exc)}; it is looked for", Level.WARNING)
            await self._wait(_AGAIN_SECONDS)

    async def _once(self, facts: Facts, scratch: Path) -> None:
        """Serve one scheduler until it goes, or this worker is ended."""
        bench = Bench(
            cache=ImageCache(folder=self.folder / IMAGES, most_bytes=self.cache_bytes),
            scratch=scratch,
            keys=self.keys,
            host=facts.host,
            shared=self.shared,
        )
        own = await asyncio.to_thread(own_address, self.place)
        worker = await asyncio.wait_for(self._worker(facts, scratch, own, bench), CONNECT_SECONDS)
        try:
            self._say(f"{facts.host.id} boots for {self.place}: {words_of(facts)}")
            while worker.status.name in {"running", "paused"} and not self._stop.is_set():
                await self._wait(_AGAIN_SECONDS / 4)
            if not self._stop.is_set():
                self._say(f"the scheduler at {self.place} was lost; it is looked for", Level.WARNING)
        finally:
            bench.ending.set()
            await worker.close(timeout=CONNECT_SECONDS)

    async def _worker(self, facts: Facts, scratch: Path, own: str, bench: Bench) -> Any:
        """Dask's worker, which has told what this host can."""
        made = distributed().Worker(
            contact(self.place, self.keys),
            nthreads=facts.cores,
            resources=supplies_of(facts),
            name=f"{facts.host.id}-{secrets.token_hex(4)}",
            startup_information={TOLD: lambda _worker: plain_of(facts)},
            plugins=(plugin(bench),),
            security=security(self.keys),
            host=own,
            dashboard_address="127.0.0.1:0",
            local_directory=str(scratch),
            memory_limit=0,  # guests have their memory by other counts
        )
        return await made

    async def _wait(self, seconds: float) -> None:
        await asyncio.to_thread(self._stop.wait, seconds)

    def _say(self, text: str, level: Level = Level.INFO) -> None:
        self.events.emit(Note(text=f"worker: {text}", level=level))


def _cause(exc: BaseException) -> str:
    """What is at the bottom of it: dask says no more than that a worker failed to start."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return str(exc) or type(exc).__name__


def words_of(facts: Facts) -> str:
    """What a worker can, in a line."""
    slow = "" if facts.host.slowness == 1.0 else f" ({facts.host.slowness:.1f} times slower than normal)"
    accelerator = f"{facts.host.accelerator.upper()}{slow}, " if facts.host.accelerator else ""
    unit = ("guest" if facts.whole_guests else "core") + ("" if facts.cores == 1 else "s")
    gib = facts.capacity.memory_bytes / (1 << 30)
    return f"{facts.cores} {unit}, {gib:.1f} GiB, {accelerator}machines {', '.join(facts.machines) or 'none'}"
