"""A night with no engine and no guest: what every build and every boot comes to is said beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metallize import images, pipeline
from metallize.build.base import bases
from metallize.build.generator import sha256_of
from metallize.build.plan import BaseImage
from metallize.build.step import Step
from metallize.build.store import Store, Stored
from metallize.catalog import Catalog
from metallize.errors import EngineError, HostError, MetallizeError, UsageError
from metallize.events import Silent
from metallize.host import accelerator
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat, Platform
from metallize.model.report import BootReport
from metallize.night.attempt import Attempt
from metallize.night.matrix.making import Candidate, matrix_of
from metallize.night.run import run_nightly
from metallize.verify import beside
from tests.unit.build.conftest import FakeEngine, profile

BASE = BaseImage(reference="debian:trixie", platform=Platform.AMD64)
NO_BASE = BaseImage(reference="debian:nowhere", platform=Platform.AMD64)
Boots = Sequence[BootReport]


@dataclass
class Builds:
    """What becomes of each profile, by its name: the reports of its machines, or what its build raises."""

    outcomes: dict[str, Boots | MetallizeError | str]
    again: BootReport | MetallizeError | None = None
    """What a second boot of a cell shows; the same as the first where it is None."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    booted: list[tuple[str, str]] = field(default_factory=list)
    settled: list[tuple[str, str, bool]] = field(default_factory=list)
    emulated: bool = True
    """Cells boot on this host."""
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """The bytes of images that are really there, by their profiles' names."""
    boot: Callable[[], None] = lambda: None
    """Called at the beginning of each boot."""
    engine: FakeEngine = field(default_factory=FakeEngine)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self, monkeypatch: pytest.MonkeyPatch, *, guests: int = 1) -> Builds:
        """In the place of builds and boots; with one guest at a time these come in the order of the matrix."""
        monkeypatch.setattr(beside, "room_beside", lambda _need, running: len(running) < guests)
        monkeypatch.setattr(pipeline, "prepare", self._prepare)
        monkeypatch.setattr(pipeline, "make", self._make)
        monkeypatch.setattr(images, "boot_stored", self._boot)
        monkeypatch.setattr(images, "settle", self._settle)
        monkeypatch.setattr(bases, "resolve", self._resolve)
        monkeypatch.setattr(accelerator, "choose", lambda *_args: None)
        return self

    @contextmanager
    def engine_of_host(self) -> Iterator[FakeEngine]:
        """In the place of the host's own."""
        yield self.engine

    def candidate(
        self, name: str, *, named: bool = True, load: Callable[[], tuple[Profile, ...]] | None = None
    ) -> Candidate:
        return Candidate(name=name, load=load or (lambda: (self.profile(name),)), named=named)

    def profile(self, name: str, **said: Any) -> Profile:
        reports = self.outcomes[name]
        machines = [] if isinstance(reports, (MetallizeError, str)) else [each.machine for each in reports]
        boot = Boot(machines={machine: MachineOverrides() for machine in machines or ["seabios"]})
        return profile(name=name, boot=boot, **said)

    def night(self, folder: Path, *candidates: Candidate, **said: Any) -> tuple[Attempt, ...]:
        catalog, options = Catalog(), pipeline.Options(build_dir=folder)
        matrix = matrix_of(candidates, catalog, options, here=self.emulated)
        return run_nightly(matrix, candidates, catalog, self.engine, said.pop("events", Silent()), options, **said)

    def _prepare(self, given: Profile, *args: object, verified: bool, emulated: bool) -> Any:
        assert verified
        assert emulated is self.emulated
        options = args[-1]
        assert isinstance(options, pipeline.Options)
        outcome = self.outcomes[given.name]
        if isinstance(outcome, (UsageError, HostError)) and not isinstance(outcome, EngineError):
            raise outcome
        folder = options.build_dir or Path("build")
        return SimpleNamespace(
            id=f"plan of {given.name}", image=folder / given.output.file, build_dir=folder, file=given.output.file,
            job=SimpleNamespace(format=ImageFormat.ISO, generator="livecd"), native_tools=None,
            rootfs=SimpleNamespace(base=NO_BASE if outcome == "no base" else BASE, layers=()), name=given.name,
        )  # fmt: skip

    def _resolve(self, _engine: object, base: Step, _events: object) -> None:
        if NO_BASE.reference in base.explain:
            raise EngineError("no registry gives it")

    def _make(
        self, plan: Any, _engine: object, _events: object, _options: object, *, keep: Callable[[Store, Stored], Stored]
    ) -> Stored:
        self.made.append(plan.name)
        outcome = self.outcomes[plan.name]
        if isinstance(outcome, MetallizeError):
            raise outcome
        assert not isinstance(outcome, str)
        first = outcome[0]
        store = Store(build_dir=plan.build_dir, file=plan.file)
        manifest = {**self.manifest, "sha256": first.sha256}
        if plan.name in self.contents:
            path = plan.build_dir / f"{plan.name}.image"
            path.write_bytes(self.contents[plan.name])
            return keep(store, Stored(path=path, manifest={**manifest, "sha256": sha256_of(path)}))
        return keep(store, Stored(path=plan.build_dir / plan.file, manifest=manifest))

    def _boot(
        self,
        given: Profile,
        _catalog: object,
        _events: object,
        options: pipeline.Options,
        _stored: Stored,
        _clock: str | None = None,
    ) -> BootReport:
        [machine] = options.machines
        self.boot()
        with self._lock:
            second = (given.name, machine) in self.booted
            self.booted.append((given.name, machine))
        outcome = self.outcomes[given.name]
        assert not isinstance(outcome, (MetallizeError, str))
        match self.again if second else None:
            case MetallizeError() as error:
                raise error
            case BootReport() as report:
                return replace(report, machine=machine)
        return next(report for report in outcome if report.machine == machine)

    def _settle(self, given: Profile, *args: Any) -> bool:
        report = args[-1]
        self.settled.append((given.name, report.machine, report.passed))
        return True
