"""A night's host and its fleet: cells go to workers as these have room, and what was seen comes back.

Each cell is handed to one worker, when that has room for it: nothing waits anywhere but here, and a cell that was begun
is known to have been. A worker that is lost is a MISS of the cells that it had, and so is a scheduler.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metallize.errors import HostError, MetallizeError
from metallize.events import Level, Note, Outcome
from metallize.host.turns import Need
from metallize.night.attempt import Cell, Host
from metallize.night.executors import Booted, Ended, Ground, Missed, Work
from metallize.night.fleet.bringing import brought
from metallize.night.fleet.carrying import Carrier
from metallize.night.fleet.facts import needs_of, software, takes_of
from metallize.night.fleet.handing import error_of, task_of
from metallize.night.fleet.link import Link, LostError
from metallize.night.fleet.placing import MOST_MISSES, Post, Waiting, place, why_nobody
from metallize.night.fleet.task import Done
from metallize.night.fleet.telling import Boots
from metallize.night.matrix.value import Entry
from metallize.patience import FLEET_AGAIN as AGAIN_SECONDS
from metallize.patience import FLEET_NOBODY as NOBODY_SECONDS

_LOOK_SECONDS = 0.25
_REFRESH_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class _Item:
    """A boot that is to be made, and who made none of it."""

    number: int
    work: Work
    waiting: Waiting
    nobody_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A boot that goes on somewhere."""

    item: _Item
    post: Post
    future: Any
    begun: datetime
    image: Path


@dataclass(slots=True)
class OnFleet:
    """The workers of a scheduler while a night goes on."""

    ground: Ground
    connect: Callable[[], Link]
    depot: Carrier = field(init=False)
    link: Link = field(init=False)
    _boots: Boots = field(init=False)
    _posts: dict[str, Post] = field(default_factory=dict)
    _runs: dict[str, _Run] = field(default_factory=dict)
    _over: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _missed: dict[Cell, frozenset[str]] = field(default_factory=lambda: defaultdict(frozenset))
    _failed: dict[Cell, str] = field(default_factory=dict)
    """The host on which a cell has failed: to know whether it fails again it is booted there, if it can be."""

    def __post_init__(self) -> None:
        self._boots = Boots(self.ground.events)
        self._connect()
        self._look()
        self._say(f"{len(self._posts)} workers with {self.cores} cores at {self.link.place}")

    @property
    def cores(self) -> int:
        """Those of all workers that are there."""
        return sum(post.facts.cores for post in self._posts.values())

    def _connect(self) -> None:
        self.link = self.connect()
        self.link.listen(self._boots.heard)

    def close(self) -> None:
        """Nothing that goes on is waited for."""
        for key in list(self._runs):
            self._forget(key)
        self.link.close()

    def lacks(self, entry: Entry) -> str:
        """Why no worker can ever boot a cell; empty where one can."""
        self._refreshed()
        guest = Need(what=str(entry.cell), cpus=entry.cpus, memory_bytes=entry.memory_bytes)
        waiting = Waiting(needs=needs_of(entry.request, guest))
        return why_nobody(waiting, list(self._posts.values()), software())

    def missing(self, host: Host) -> str:
        """Why nothing can be booted on a host now; empty where it can."""
        self._refreshed()
        if any(post.facts.host.id == host.id for post in self._posts.values()):
            return ""
        return f"{host.id}, where it was slower, is no worker now"

    def stand_in(self, host: Host) -> Host | None:
        """Of several the one that has least to do."""
        kind = (host.model, host.accelerator)
        posts = [
            each for each in self._posts.values()
            if (each.facts.host.model, each.facts.host.accelerator) == kind and each.facts.host.id != host.id
        ]  # fmt: skip
        posts.sort(key=lambda each: (len(each.running), each.facts.host.id))
        return posts[0].facts.host if posts else None

    def boot(self, work: Work, host: Host) -> Booted:
        """Boot on that host and no other. Raises MetallizeError."""
        found: list[Booted | Missed] = []

        def ended(_number: int, result: Booted | Missed) -> Sequence[Work]:
            found.append(result)
            return ()

        self._boot_all([work], ended, only=host.id)
        [result] = found
        if isinstance(result, Missed):
            raise result.error
        return result

    def boot_all(self, works: Sequence[Work], ended: Ended) -> None:
        """Boot all, as the workers have room. Raises HostError where the scheduler is lost for good."""
        self._boot_all(works, ended)

    def _boot_all(self, works: Sequence[Work], ended: Ended, only: str = "") -> None:
        left = [self._item(number, work, only) for number, work in enumerate(works)]
        count = len(left)
        looked = 0.0
        while left or self._runs:
            results: list[tuple[_Item, Booted | Missed]] = []
            if time.monotonic() - looked >= _REFRESH_SECONDS:
                looked = time.monotonic()
                results += self._refreshed()
            results += self._begin(left)
            results += self._heard()
            results += self._given_up(left)
            for item, result in results:
                self._learn(item, result)
                more = ended(item.number, result)
                left += [self._item(number, work, only) for number, work in enumerate(more, start=count)]
                count += len(more)

    def _item(self, number: int, work: Work, only: str) -> _Item:
        failed = self._failed.get(work.cell, "")
        there = {post.facts.host.id for post in self._posts.values()}
        waiting = Waiting(
            needs=needs_of(work.request, work.need),
            sha256=work.sha256,
            seconds=work.seconds,
            avoid=self._missed[work.cell],
            only=only or (failed if failed in there else ""),
        )
        return _Item(number=number, work=work, waiting=waiting)

    def _begin(self, left: list[_Item]) -> list[tuple[_Item, Booted | Missed]]:
        """Hand out what workers have room for."""
        results: list[tuple[_Item, Booted | Missed]] = []
        while (found := place([item.waiting for item in left], list(self._posts.values()), software())) is not None:
            item, post = left.pop(found[0]), found[1]
            try:
                self._submit(item, post)
            except LostError:
                left.append(item)
                return results
            except MetallizeError as exc:
                results.append((item, Missed(error=exc)))
        return results

    def _submit(self, item: _Item, post: Post) -> None:
        work = item.work
        stored = work.image()
        key = f"{work.run}-{secrets.token_hex(4)}"
        self.depot.offer(stored.sha256, lambda: work.image().path)
        task = task_of(work, stored, key, self.ground.build_dir, self.depot.address)
        self.depot.begin(key)
        post.running[key] = item.waiting
        try:
            takes = takes_of(item.waiting.needs, post.facts)
            future = self.link.submit(task, post.address, takes, lambda: self._over.put(key))
        except BaseException:
            self.depot.forget(key)
            del post.running[key]
            raise
        post.images.add(stored.sha256)
        self._runs[key] = _Run(item=item, post=post, future=future, begun=datetime.now(UTC), image=stored.path)
        self._boots.begun(key, work.cell, post.facts.host.id, work.seconds)

    def _heard(self) -> list[tuple[_Item, Booted | Missed]]:
        """What has come to an end; waits for it for a moment."""
        results: list[tuple[_Item, Booted | Missed]] = []
        with suppress(queue.Empty):
            key = self._over.get(timeout=_LOOK_SECONDS)
            while True:
                run = self._runs.get(key)
                if run is not None and self.link.lost(run.future):
                    return [*results, *self._lost(LostError(f"the scheduler at {self.link.place} was lost"))]
                if run is not None:  # else it was given up meanwhile, and counts for nothing
                    result = self._result(run)
                    results.append((run.item, result))
                    self._forget(key, result)
                key = self._over.get_nowait()
        return results

    def _result(self, run: _Run) -> Booted | Missed:
        host = run.post.facts.host
        try:
            done = self.link.result(run.future)
        except HostError as exc:
            return Missed(error=HostError(f"on {host.id} {exc.message}", hint=exc.hint), host=host)
        if done.report is None or done.fault is not None:
            run.post.misses += MOST_MISSES if done.fault is not None and done.fault.full else 1
            self._missed[run.item.work.cell] |= {run.post.address}
            return Missed(error=error_of(done.fault, host), host=done.host)
        asked = run.item.work
        if (done.report.sha256, done.report.machine) != (asked.sha256, asked.request.machine_entry):
            run.post.misses += MOST_MISSES
            self._missed[asked.cell] |= {run.post.address}
            return Missed(error=HostError(f"on {host.id} another image was booted, or elsewhere"), host=host)
        run.post.misses = 0
        return self._booted(run, done)

    def _booted(self, run: _Run, done: Done) -> Booted | Missed:
        assert done.report is not None  # noqa: S101 - whoever calls has looked
        path = self.depot.evidence(done.evidence)
        missing = done.missing or ("" if path else "it did not come")
        try:
            report, missing = brought(done.report, path, run.item.work.request, run.image, run.begun, missing)
        except OSError as exc:
            return Missed(error=HostError(f"what came from {done.host.id} could not be kept: {exc}"), host=done.host)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)
        if missing:
            text = f"nightly: {run.item.work.cell}: the evidence of {done.host.id} is missing: {missing}"
            self.ground.events.emit(Note(text=text, level=Level.WARNING))
        return Booted(report=report, host=done.host)

    def _learn(self, item: _Item, result: Booted | Missed) -> None:
        if isinstance(result, Booted) and not result.report.passed and result.host is not None:
            self._failed[item.work.cell] = result.host.id

    def _refreshed(self) -> list[tuple[_Item, Booted | Missed]]:
        """Who is there by now; the boots of whoever is not are missed."""
        try:
            gone = self._look()
        except LostError as exc:
            return self._lost(exc)
        results: list[tuple[_Item, Booted | Missed]] = []
        for post in gone:
            for key in list(post.running):
                run = self._runs[key]
                text = f"the worker on {post.facts.host.id} was lost in the middle of the boot"
                missed = Missed(error=HostError(text), host=post.facts.host)
                results.append((run.item, missed))
                self._forget(key, missed)
        return results

    def _look(self) -> list[Post]:
        """Take in who is there; those who are there no longer."""
        there = self.link.workers()
        gone = [self._posts.pop(address) for address in list(self._posts) if address not in there]
        for address, facts in there.items():
            if address not in self._posts:
                self._posts[address] = Post(address=address, facts=facts)
        return gone

    def _lost(self, exc: LostError) -> list[tuple[_Item, Booted | Missed]]:
        """All that went on is missed; the scheduler is waited for. Raises HostError where it does not come back."""
        results: list[tuple[_Item, Booted | Missed]] = []
        for key, run in list(self._runs.items()):
            host = run.post.facts.host
            error = HostError(f"{exc.message} while it booted on {host.id}")
            missed = Missed(error=error, host=host)
            results.append((run.item, missed))
            self._forget(key, missed)
        self._posts.clear()
        self.link.close()
        self._say(f"{exc.message}; it is looked for, for {AGAIN_SECONDS / 60:.0f} minutes", Level.WARNING)
        end = time.monotonic() + AGAIN_SECONDS
        while True:
            try:
                self._connect()
                self._look()
            except HostError as again:
                if time.monotonic() > end:
                    hint = "start it again, and this night: it goes on where it was"
                    raise HostError(f"{exc.message} for good: {again.message}", hint=hint) from again
                time.sleep(_REFRESH_SECONDS)
            else:
                self._say(f"the scheduler at {self.link.place} is there again")
                return results

    def _given_up(self, left: list[_Item]) -> list[tuple[_Item, Booted | Missed]]:
        """What no worker that is there can take, and none came for that could."""
        results: list[tuple[_Item, Booted | Missed]] = []
        now = time.monotonic()
        for item in list(left):
            why = why_nobody(item.waiting, list(self._posts.values()), software())
            if not why:
                item.nobody_since = None
            elif item.nobody_since is None:
                item.nobody_since = now
                self._say(f"{item.work.cell} waits: {why}", Level.WARNING)
            elif now - item.nobody_since > NOBODY_SECONDS:
                left.remove(item)
                results.append((item, Missed(error=HostError(why))))
        return results

    def _forget(self, key: str, result: Booted | Missed | None = None) -> None:
        """Nobody waits for it any more: whoever boots it hears of that, and ends it."""
        run = self._runs.pop(key)
        passed = isinstance(result, Booted) and result.report.passed
        self._boots.ended(key, Outcome.DONE if passed else Outcome.FAILED, _detail(result))
        self.depot.forget(key)
        run.post.running.pop(key, None)
        self.link.cancel(run.future)

    def _say(self, text: str, level: Level = Level.INFO) -> None:
        self.ground.events.emit(Note(text=f"fleet: {text}", level=level))


def _detail(result: Booted | Missed | None) -> str:
    """What came of a boot, where that is not its report's to say."""
    if result is None:
        return "given up"
    return result.error.message.partition("\n")[0] if isinstance(result, Missed) else ""
