"""The builds of a night, one after the other, before anything boots: no build is to disturb how long a boot takes."""

from __future__ import annotations

from dataclasses import replace

from metallize import images, pipeline, planning
from metallize.build.base import bases
from metallize.build.secrets.lending import unused
from metallize.build.store import Store, Stored
from metallize.errors import EngineError, HostError, MetallizeError
from metallize.events import Level, Note
from metallize.night import keeping
from metallize.night.attempt import Status
from metallize.night.course.means import Means, fault_of
from metallize.night.keeping import kept_folder
from metallize.night.matrix.value import Build, Matrix
from metallize.night.outcomes import again


class _NotHereError(MetallizeError):
    """A profile needs a base that this host has not, nor gets."""


def made(matrix: Matrix, named: frozenset[str], means: Means) -> dict[str, Stored]:
    """The images that cells still wait for, by their builds' names; of one that cannot be made an attempt says so.

    An image that this night has made before it was interrupted is not made again. `named` are the profiles that
    somebody asked for.
    """
    found: dict[str, Stored] = {}
    for build in matrix.builds:
        waiting = [each for each in matrix.of(build) if not means.of(each.cell) or again(means.of(each.cell))]
        before = means.of(build.cell)
        if not waiting or (before and not again(before)):
            continue
        try:
            found[build.name] = _there(build, means) or _made(build, means)
        except _NotHereError as exc:
            status = Status.MISS if build.cell.profile in named else Status.SKIP
            means.nothing(build.cell, status, "build", exc)
        except MetallizeError as exc:
            means.nothing(build.cell, fault_of(exc), "build", exc)
        if means.idle:
            means.idle.intersection_update(unused([build.plan], tuple(means.idle)))
    return found


def _there(build: Build, means: Means) -> Stored | None:
    """What this night has made of it already."""
    sha256 = means.journal.made.get(build.name)
    return None if sha256 is None else stored_of(build, means, sha256)


def stored_of(build: Build, means: Means, sha256: str) -> Stored | None:
    """An image by its digest: what the nights keep of it, else what is in the build folder."""
    found = keeping.find(kept_folder(means.build_dir), sha256)
    if found is not None:
        return found
    store = images.store_of(build.profile, means.options)
    return next((each for each in (store.any(), store.kept()) if each and each.sha256 == sha256), None)


def _made(build: Build, means: Means) -> Stored:
    base = build.plan.rootfs.base
    if base is not None:
        means.engine.inspect(base.reference)  # an engine that does not answer is no reason to skip
        try:
            bases.resolve(means.engine, planning.base_of(base, means.catalog), means.events)
        except (EngineError, HostError) as exc:
            raise _NotHereError(f"no base {base.reference}: {exc.message}", hint=exc.hint) from exc

    def keep(store: Store, stored: Stored) -> Stored:
        try:
            kept = keeping.keep(kept_folder(means.build_dir), store, stored.sha256)
        except OSError as exc:
            text = f"{store.file} is not kept, and no later image will be booted in turn with it: {exc.strerror or exc}"
            means.events.emit(Note(text=text, level=Level.WARNING))
            kept = None
        return kept or stored

    options = replace(means.options, fresh=means.options.fresh)
    stored = pipeline.make(build.plan, means.engine, means.events, options, keep=keep)
    means.journal.note(build.name, stored.sha256)
    return stored
