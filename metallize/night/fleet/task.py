"""One cell on a worker: its image is fetched, booted and judged, and what the boot left goes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metallize.build.generator import sha256_of
from metallize.catalog import Catalog
from metallize.deciding import is_one_judge
from metallize.errors import FULL, MAKE_ROOM, BugError, HostError, MetallizeError
from metallize.model.report import BootReport
from metallize.night.attempt import Host, Status
from metallize.night.course.means import fault_of
from metallize.night.fleet.cache import FullError, ImageCache
from metallize.night.fleet.carrying import Source, source_at
from metallize.night.fleet.depot import Address
from metallize.night.fleet.evidence import pack
from metallize.night.fleet.facts import software
from metallize.night.fleet.keys import Keys
from metallize.night.fleet.shared import SharedAddress
from metallize.night.fleet.telling import IMAGE, TOPIC, FromWorker, Tell
from metallize.night.gather import this_host
from metallize.patience import FLEET_GONE as GONE_SECONDS
from metallize.patience import FLEET_LOOK as LOOK_SECONDS
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification
from metallize.verify.beside import unless
from metallize.verify.machine import need_of

BENCH = "metallize"
"""The name by which a task finds the bench of its worker."""
NOBODY = "nobody waits for this boot any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What travels to a worker."""

    key: str
    """Of the attempt, and of this try to have it made."""
    request: VerifyRequest
    """With no assertion kinds: they are the worker's own; and with no place of the image."""
    size_bytes: int
    ssh_key: str = field(default="", repr=False)
    """The private key to log in with, where the profile names a file that has one."""
    depot: Address | SharedAddress
    software: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why there was no boot."""

    status: Status
    message: str
    hint: str | None = None
    full: bool = False
    """There was no room on the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What travels back: a report, or why there is none."""

    host: Host
    report: BootReport | None = None
    evidence: str = ""
    """Its digest, by which it was put into the depot."""
    missing: str = ""
    """Why it was not; empty where it was."""
    fault: Fault | None = None


def run(task: Task) -> Done:
    """On a worker."""
    from distributed import get_worker  # noqa: PLC0415 - an extra, and there where this runs

    worker: Any = get_worker()
    bench = worker.plugins[BENCH].bench
    assert isinstance(bench, Bench)  # noqa: S101 - `metallize worker` has put it there

    def given_up() -> bool:
        """Whether the night has cancelled it, or has gone: dask forgets what nobody wants."""
        state = worker.state.tasks.get(name_of(task.key))
        return state is None or state.state == "cancelled"

    return bench.boot(task, given_up, partial(worker.log_event, TOPIC))


def name_of(key: str) -> str:
    """What dask calls a task."""
    return f"metallize-{key}"


@dataclass(slots=True, kw_only=True)
class Bench:
    """What a worker boots with."""

    cache: ImageCache
    scratch: Path
    keys: Keys | None
    host: Host
    shared: Path | None = None
    """Where the shared folder of a night is here; None: where the night's host has it."""
    ending: threading.Event = field(default_factory=threading.Event)
    """No boot goes on any more."""

    def boot(
        self, task: Task, given_up: Callable[[], bool] = lambda: False, tell: Tell = lambda _message: None
    ) -> Done:
        """Whatever goes wrong is told and not raised: not all errors travel. `tell` is told how far it has come."""
        try:
            return self._boot(task, given_up, FromWorker(task.key, tell))
        except MetallizeError as exc:
            full = isinstance(exc, FullError) or exc.hint == MAKE_ROOM
            fault = Fault(status=fault_of(exc), message=exc.message, hint=exc.hint, full=full)
        except OSError as exc:
            full = exc.errno in FULL
            message = f"the worker's folder {self.scratch}: {exc.strerror or exc}"
            fault = Fault(status=Status.MISS, message=message, hint=MAKE_ROOM if full else None, full=full)
        except Exception as exc:  # noqa: BLE001 - a bug that one cell meets is told as one
            fault = Fault(status=Status.MISS, message=BugError("booting on a worker", exc).message)
        return Done(host=self._host(), fault=fault)

    def _host(self) -> Host:
        """With its load by now."""
        return replace(self.host, load=this_host().load)

    def _boot(self, task: Task, given_up: Callable[[], bool], events: FromWorker) -> Done:
        _require_same(task.software)
        depot = source_at(task.depot, self.keys, self.shared)
        with ExitStack() as stack:
            self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            work = Path(stack.enter_context(TemporaryDirectory(prefix="cell-", dir=self.scratch)))
            lost = _Lost(depot=depot, key=task.key, ending=self.ending, given_up=given_up)
            sha256 = task.request.sha256
            if not self.cache.has(sha256):
                events.reached(IMAGE, 0.0)
            fetch = partial(depot.image, sha256, lost=lost.why)
            stored = stack.enter_context(self.cache.image(sha256, task.size_bytes, fetch))
            request = _ready(task, stored.path, work)
            [report] = unless(lost.why, need_of(request), lambda: verification.run_all((request,), events))
            stored.require_untouched()
            evidence, missing = _sent(depot, report.run_folder.parent, work / "evidence.tar.gz")
            return Done(host=self._host(), report=report, evidence=evidence, missing=missing)


def _require_same(theirs: Mapping[str, str]) -> None:
    """Raises HostError where another would judge here than on the night's host."""
    ours = software()
    if dict(ours) != dict(theirs) or not is_one_judge():
        raise HostError(
            "the worker's software is another than that of the night's host, or was replaced since it began",
            hint="start the worker anew with the same metallize",
        )


def _ready(task: Task, image: Path, work: Path) -> VerifyRequest:
    """The request with what is this host's own in it."""
    boot = task.request.boot
    if task.ssh_key and boot.ssh is not None:
        path = work / "key"
        path.touch(mode=0o600)
        path.write_text(task.ssh_key, encoding="utf-8")
        boot = boot.model_copy(update={"ssh": boot.ssh.model_copy(update={"key": str(path)})})
    return replace(task.request, image=image, boot=boot, kinds=Catalog().kinds, runs_dir=work / "runs")


def _sent(depot: Source, folder: Path, path: Path) -> tuple[str, str]:
    """The digest of the evidence that was put into the depot, or why it was not."""
    try:
        pack(folder, path)
        digest = sha256_of(path)
        depot.evidence(digest, path)
    except MetallizeError as exc:
        return "", exc.message
    except OSError as exc:
        return "", f"it could not be packed: {exc.strerror or exc}"
    return digest, ""


@dataclass(slots=True, kw_only=True)
class _Lost:
    """Whether anybody waits for a boot still."""

    depot: Source
    key: str
    ending: threading.Event
    given_up: Callable[[], bool]
    _next: float = 0.0
    _answered: float = field(default_factory=time.monotonic)

    def why(self) -> str:
        """Why nobody does; empty while somebody may."""
        if self.ending.is_set():
            return "the worker ends"
        if self.given_up():
            return NOBODY
        now = time.monotonic()
        if now < self._next:
            return ""
        self._next = now + LOOK_SECONDS
        awaited = self.depot.awaits(self.key)
        if awaited is not None:
            self._answered = time.monotonic()
            return "" if awaited else NOBODY
        silent = time.monotonic() - self._answered
        return f"the night's host has not answered for {silent:.0f} s" if silent > GONE_SECONDS else ""
