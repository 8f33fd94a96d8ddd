"""The images between two, made of cached layers in a folder of their own and booted where it got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from metallize.build.engines.engine import Engine
from metallize.build.making import Making
from metallize.build.step import pin_of
from metallize.build.steps import steps_of
from metallize.build.store import Stored, stamp_of
from metallize.errors import EngineError, UsageError
from metallize.events import Note
from metallize.night.attempt import Attempt, Status
from metallize.night.bisecting.chain import Chain, Stack, chain_of, plan_at, stack_of
from metallize.night.bisecting.seeking import PER_CUT
from metallize.night.fleet.scratch import own_folder
from metallize.night.in_turn import OfOneHost
from metallize.night.judging.judgement import Sought
from metallize.night.matrix.value import Build
from metallize.paces import Paced

FOLDER = "cuts"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfLayers:
    """Images between those that a night has made and the last good ones."""

    host: OfOneHost
    engine: Engine
    builds: Mapping[str, Build]
    """Those of this night, by the names of their cells."""

    def chain(self, sought: Sought) -> Chain:
        """Raises UsageError where one of both images, or what it was made of, is known no longer."""
        name = sought.attempt.cell.name
        if name not in self.builds:
            raise UsageError(f"the profile of {name} was not read this time")
        build = self.builds[name]
        before = self._stack(build, sought.before, "the last good image")
        after = self._stack(build, sought.attempt.sha256, "the image")
        why = self.host.place(sought.attempt)
        if why:
            raise UsageError(why)
        chain = chain_of(before, after, build.plan, fresh=self.host.options.fresh)
        if len(chain.changes) > 1:
            text = (
                f"nightly: {sought.attempt.cell} got worse: which of {len(chain.changes)} changes did it is looked for"
            )
            self.host.events.emit(Note(text=text))
        return chain

    def _stack(self, build: Build, sha256: str, which: str) -> Stack:
        stored = self.host.stored(build.profile, sha256)
        stack = None if stored is None else stack_of(stored.manifest)
        if stack is None:
            raise UsageError(f"{which}, {sha256[:12]}, is there no longer, or does not say what it is made of")
        return stack

    @contextmanager
    def image(self, sought: Sought, chain: Chain, cut: int) -> Iterator[Stored]:
        """It is gone with the body. Raises MetallizeError where it cannot be made."""
        plan = plan_at(self.builds[sought.attempt.cell.name].plan, chain, cut)
        base = chain.before.base_digest
        if base and self.engine.inspect(pin_of(base)) is None:
            found = self.engine.inspect(base)
            if found is None:
                raise EngineError(f"the base image as it was, {chain.before.base}, is there no longer")
            self.engine.tag(found, pin_of(base))
        events = Paced(self.host.events, plan.build_dir)
        making = Making(plan=plan, steps=steps_of(plan), engine=self.engine, events=events)
        with own_folder(self.host.folder.with_name(FOLDER)) as folder:
            work = folder / plan.job.name
            work.mkdir()
            made = making.image(making.images(), work)
            image = made.path.replace(work / plan.file)
            yield replace(made, path=image, stamp=stamp_of(image.stat()))

    def boot(self, sought: Sought, number: int, cut: int, image: Stored | None) -> Attempt:
        """Raises MetallizeError."""
        profile = self.builds[sought.attempt.cell.name].profile
        stored = self.host.stored(profile, sought.before) if image is None else image
        if stored is None:
            raise UsageError(f"the last good image, {sought.before[:12]}, is there no longer")
        return self.host.booted(sought.attempt, number, stored, cut)

    def ended(self, sought: Sought, cut: int, layer: str, reason: str) -> Attempt:
        """The line that ends the search."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return self.host.night.attempt(
            sought.attempt.cell, PER_CUT * cut, Status.SKIP, confirms=sought.attempt.run, cut=cut, layer=layer,
            reason=reason, started=started,
        )  # fmt: skip
