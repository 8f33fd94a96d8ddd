"""The guests of a test run: one at a time, booted when a test first needs it, and judged only once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from metallize import images, pipeline
from metallize.asked import asked_of
from metallize.build.currency import changes_since, known_to
from metallize.build.engines.docker import DockerEngine
from metallize.build.notes import notes
from metallize.build.steps import steps_of
from metallize.build.store import Store, Stored
from metallize.catalog import Catalog
from metallize.deciding import judge
from metallize.errors import EngineError, MetallizeError
from metallize.events import Events, Note
from metallize.model.assertion import Assertion
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.pytest_plugin.judging import came_up
from metallize.pytest_plugin.targets import Settings, Target, same_assertions
from metallize.release.fetching import with_release_before
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification
from metallize.verify.booted import Booted
from metallize.verify.machine import booted

_NOBODY = "-"
"""The owner of a guest that is not handed out again."""


@dataclass(slots=True, kw_only=True)
class _Live:
    """The guest that runs now."""

    target: Target
    owner: str
    """Whose it is: a test module's, a single test's; empty: only the verification has touched it."""
    boot: Booted
    stack: ExitStack


class Guests:
    """Boots what the items of one pytest process ask for."""

    def __init__(self, settings: Settings, catalog: Catalog, events: Events) -> None:
        self._settings = settings
        self._catalog = catalog
        self._events = events
        self._assertions: dict[str, tuple[Assertion, ...]] = {}
        self._outcomes: dict[str, BootReport | MetallizeError] = {}
        self._requests: dict[str, VerifyRequest] = {}
        self._live: _Live | None = None

    def expect(self, target: Target, assertions: Sequence[Assertion]) -> None:
        """What the first boot of a target has to observe."""
        self._assertions[target.name] = same_assertions(assertions)

    def report(self, target: Target) -> BootReport:
        """What the target's first boot showed. Raises, each time, the MetallizeError that kept it from booting."""
        outcome = self._outcomes.get(target.name)
        if outcome is None:
            try:
                asked = self._assertions.get(target.name, ())
                outcome = self._start(target, "", asked, judged=True).boot.report
                self._record(target, asked, outcome)
            except MetallizeError as exc:
                outcome = exc
            self._outcomes[target.name] = outcome
        if isinstance(outcome, MetallizeError):
            raise outcome
        return outcome

    def guest(self, target: Target, owner: str) -> Booted:
        """A running guest that nobody but its owner and the verification has touched.

        One that has ended meanwhile is booted anew. Raises DidNotBoot for one that did not come up, MetallizeError.
        """
        came_up(self.report(target))
        live = self._live
        if live is None or not self._is_for(live, target, owner):
            live = self._start(target, owner, ())
            came_up(live.boot.report)
        live.owner = owner
        return live.boot

    def another(self, target: Target) -> Booted:
        """A guest that is nobody's but the caller's; the one that runs is switched off. Raises as `guest`."""
        live = self._start(target, _NOBODY, ())
        came_up(live.boot.report)
        return live.boot

    def leave(self, target: Target) -> None:
        """Give the host back what others may wait for, where it is not this target's guest that runs."""
        if self._live is not None and self._live.target is not target:
            self.close()

    def close(self) -> None:
        """Switch off what runs."""
        live, self._live = self._live, None
        if live is not None:
            live.stack.close()

    def _is_for(self, live: _Live, target: Target, owner: str) -> bool:
        return live.target is target and live.owner in ("", owner) and live.boot.guest.console.alive

    def _start(self, target: Target, owner: str, assertions: Sequence[Assertion], *, judged: bool = False) -> _Live:
        """Boot it; only a boot that is judged ends in the update that the profile asks for, and with that its guest."""
        self.close()
        request = replace(self._request(target), assertions=tuple(assertions))
        if not judged:
            request = replace(request, boot=request.boot.model_copy(update={"update": None}))
        with ExitStack() as stack:
            boot = stack.enter_context(booted(request, self._events))
            self._live = _Live(target=target, owner=owner, boot=boot, stack=stack.pop_all())
        return self._live

    def _record(self, target: Target, assertions: Sequence[Assertion], report: BootReport) -> None:
        """Write a boot down beside the profile's image, where it asked all that the profile asks.

        What the run asks on top may fail, and then says nothing; a run of less than the profile's items proves nothing.
        """
        profile, request = target.profile, self._requests[target.name]
        if profile is None:
            return
        own = same_assertions(request.assertions)
        asked = asked_of(replace(request, assertions=own))
        seen = asked_of(replace(request, assertions=own if target.refused else tuple(assertions)))
        if not seen.contains(asked) or not (report.passed or asked.contains(seen)):
            return
        options = pipeline.Options(build_dir=self._settings.build_dir)
        store = images.store_of(profile, options)
        with store.shared(self._events), store.recording():
            stored = store.any()
            if stored is not None and stored.sha256 == request.sha256:
                images.record(profile, self._catalog, stored, options, (request,), (report,))

    def _request(self, target: Target) -> VerifyRequest:
        if target.name not in self._requests:
            verification.require_emulators([target.machine])
            self._requests[target.name] = self._make_request(target)
        return self._requests[target.name]

    def _make_request(self, target: Target) -> VerifyRequest:
        settings, profile = self._settings, target.profile
        if profile is None:
            return verification.foreign_request(
                target.source,
                self._catalog,
                machine=target.entry,
                boot=target.boot,
                assertions=(),
                runs_dir=(settings.build_dir or Path("build")) / "runs" / (target.source.stem or "image"),
                accel=settings.accel,
                keep_running=False,
            )
        stored, build_dir = self._image(target)
        judge()  # who judges is known from before the boots on
        [request] = verification.requests_for(
            with_release_before(profile, build_dir, self._events),
            self._catalog,
            stored.path,
            ImageFormat(stored.manifest["format"]),
            machines=(target.entry,),
            build_dir=build_dir,
            accel=settings.accel,
            keep_running=False,
            sha256=stored.sha256,
            manifest=stored.manifest,
        )
        return request

    def _image(self, target: Target) -> tuple[Stored, Path]:
        """The profile's image, built where the build folder has none that is what the profile makes today."""
        profile = target.profile
        assert profile is not None  # noqa: S101 - asked of profiles only
        options = pipeline.Options(build_dir=self._settings.build_dir)
        plan = pipeline.plan_of(profile, self._catalog, options)
        store = Store(build_dir=plan.build_dir, file=plan.file)
        stored = store.any()
        with ExitStack() as stack:
            engine: DockerEngine | EngineError
            try:
                engine = stack.enter_context(closing(DockerEngine()))
            except EngineError as exc:
                engine = exc
            steps = steps_of(plan)
            known = {} if isinstance(engine, EngineError) else known_to(engine, steps)
            if stored is None or changes_since(stored.manifest, plan, steps, known):
                if isinstance(engine, EngineError):
                    raise engine
                options = replace(options, given=self._settings.given)
                plan = pipeline.plan_of(profile, self._catalog, options)
                for words in notes(plan):
                    self._events.emit(Note(text=words))
                pipeline.build(plan, profile, self._catalog, engine, self._events, options, verified=False)
                stored = store.any()
        if stored is None:
            raise MetallizeError(f"{store.image} was built and is gone again", hint="is something clearing it away?")
        return stored, plan.build_dir
