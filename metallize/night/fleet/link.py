"""dask: the one module of a night that knows it. It is an extra, and imported when a fleet is asked for."""

from __future__ import annotations

import importlib
import logging
import re
import socket
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from metallize.errors import HostError, UsageError
from metallize.night.fleet import task as tasks
from metallize.night.fleet.facts import Facts, facts_of
from metallize.night.fleet.keys import Keys, require_keys
from metallize.night.fleet.task import BENCH, Bench, Done, Task
from metallize.night.fleet.telling import TOPIC
from metallize.patience import FLEET_CONNECT as CONNECT_SECONDS
from metallize.patience import FLEET_RESULT as RESULT_SECONDS

TOLD = "metallize"
"""Under this name a worker tells its facts to the scheduler."""
_PLACE = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_LAST_PORT = 65535


class LostError(HostError):
    """The scheduler does not answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a scheduler listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place_of(text: str) -> Place:
    """The place HOST:PORT, of [ADDRESS]:PORT too. Raises UsageError for anything else."""
    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= _LAST_PORT:
        raise UsageError(f"`{text}` is no place of a scheduler", hint="HOST:PORT, for example 127.0.0.1:8786")
    return Place(host=found[1].strip("[]"), port=int(found[2]))


def distributed() -> Any:
    """The module. Raises HostError, with the command that installs it, where it is not there."""
    try:
        dask = importlib.import_module("dask")
        quiet = {"distributed.logging": {"distributed": "critical"}, "distributed.admin.log-format": "%(message)s"}
        dask.config.set(quiet)
        module = importlib.import_module("distributed")
    except ImportError as exc:
        raise HostError(
            "a fleet needs dask.distributed, which is not installed", hint="pip install 'metallize[fleet]'"
        ) from exc
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return module


def security(keys: Keys | None) -> Any:
    """Dask's word for the keys; None without."""
    if keys is None:
        return None
    certificate, key = str(keys.certificate), str(keys.key)
    sides = {f"tls_{side}_{kind}": path for side in ("client", "worker", "scheduler")
             for kind, path in (("cert", certificate), ("key", key))}  # fmt: skip
    return distributed().Security(tls_ca_file=certificate, require_encryption=True, **sides)


def plugin(bench: Bench) -> Any:
    """The bench as dask takes it, by which a task finds it."""
    base: Any = distributed().WorkerPlugin

    class OfBench(base):  # type: ignore[misc]  # what it stands on is there at run time alone
        name = BENCH

        def __init__(self) -> None:
            self.bench = bench

        def teardown(self, worker: object) -> None:  # noqa: ARG002 - so it is called
            """Boots that go on end: nobody would hear of them."""
            bench.ending.set()

    return OfBench()


def contact(place: Place, keys: Keys | None) -> str:
    """A scheduler's address as dask has it."""
    return f"{'tcp' if keys is None else 'tls'}://{place}"


def own_address(place: Place) -> str:
    """The address of this host that a scheduler's host sees. Raises HostError where there is no way to it."""
    try:
        with socket.create_connection((place.host, place.port), timeout=CONNECT_SECONDS) as connection:
            return str(connection.getsockname()[0])
    except OSError as exc:
        raise HostError(
            f"no scheduler answers at {place}: {exc.strerror or exc}", hint="dask scheduler starts one: docs/nightly.md"
        ) from exc


class Link:
    """A connection to a scheduler. Raises UsageError and HostError where there can be none."""

    def __init__(self, place: Place, keys: Keys | None) -> None:
        require_keys(place.host, keys)
        self.place, self.keys = place, keys
        self.own = own_address(place)
        module = distributed()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions: what matters of them is compared by `facts.skew`
                self._client = module.Client(
                    contact(place, keys), security=security(keys), timeout=CONNECT_SECONDS, set_as_default=False
                )
        except (OSError, TimeoutError, ValueError, RuntimeError) as exc:
            secured = "without keys" if keys is None else "with these keys"
            raise HostError(
                f"the scheduler at {place} does not answer {secured}: {exc}",
                hint="is it one, and has it the same keys?",
            ) from exc
        try:
            self._require_own(str(self._identity()["address"]))
        except BaseException:
            self.close()
            raise

    def workers(self) -> Mapping[str, Facts]:
        """The workers of a night that are there, by their addresses. Raises LostError."""
        try:
            if self._client.status != "running":
                raise LostError(f"the scheduler at {self.place} was lost")
            info = self._identity()
        except (OSError, TimeoutError, ValueError, RuntimeError, AttributeError) as exc:
            raise LostError(f"the scheduler at {self.place} was lost: {exc}") from exc
        found = {str(address): facts_of(worker.get(TOLD)) for address, worker in info["workers"].items()}
        return MappingProxyType({address: facts for address, facts in found.items() if facts is not None})

    def _identity(self) -> Mapping[str, Any]:
        """What the scheduler says of itself and all of its workers.

        The client's own `scheduler_info` hands out what it asked last, and now and then asks beside us for no workers:
        all of them would seem lost.
        """
        found = self._client.sync(self._client.scheduler.identity, n_workers=-1)
        assert isinstance(found, Mapping)  # noqa: S101 - dask's own answer
        return found

    def submit(self, task: Task, address: str, takes: Mapping[str, float], over: Callable[[], None]) -> Any:
        """Have a worker, and no other, run a task; `over` is called in another thread when it has come to an end.

        dask makes a task again whose worker was lost; of one that no other worker may take it cannot.
        """
        try:
            future = self._client.submit(
                tasks.run, task, key=tasks.name_of(task.key), workers=[address], allow_other_workers=False,
                resources=dict(takes), retries=0, pure=False,
            )  # fmt: skip
        except Exception as exc:
            raise LostError(f"the scheduler at {self.place} was lost: {exc}") from exc
        future.add_done_callback(lambda _: over())
        return future

    def listen(self, heard: Callable[[object], None]) -> None:
        """Have somebody told what workers tell of their boots, in another thread."""
        with suppress(Exception):  # whoever is not told misses a sight, and no cell
            self._client.subscribe_topic(TOPIC, lambda event: heard(event[1]))

    def lost(self, future: Any) -> bool:
        """Whether the scheduler was lost since a task was handed to it, and nothing is known of the task any more."""
        return self._client.status != "running" or future.status in {"cancelled", "lost"}

    def result(self, future: Any) -> Done:
        """What came of a task. Raises HostError where that is lost, or is nothing that a worker says."""
        try:
            done = future.result(timeout=RESULT_SECONDS)
        except Exception as exc:
            raise HostError(f"what came of it was lost: {type(exc).__name__}: {exc}") from exc
        if not isinstance(done, Done):
            raise HostError(f"a worker has answered with a {type(done).__name__}")
        return done

    def cancel(self, future: Any) -> None:
        """Nobody waits for it any more."""
        with suppress(Exception):
            future.cancel(force=True)

    def close(self) -> None:
        """Whatever state it is in."""
        with suppress(Exception):
            self._client.close(timeout=CONNECT_SECONDS)

    def _require_own(self, address: str) -> None:
        """A scheduler that listens on the loopback alone, or has keys."""
        host = address.partition("://")[2].rpartition(":")[0].strip("[]")
        if self.keys is None and host:
            require_keys(host, self.keys)
