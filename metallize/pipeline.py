"""The whole way, in order: plan, base, layers, image, boots, build folder. Everything else is a part of this."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from metallize import planning
from metallize import proof as proofs
from metallize.build.engines.engine import Engine
from metallize.build.making import Making, asked_epoch
from metallize.build.packages.census import Package
from metallize.build.packages.lock import packages_of, require_locked
from metallize.build.plan import BuildPlan
from metallize.build.secrets.given import Given
from metallize.build.secrets.lending import with_given
from metallize.build.signing import require_key
from metallize.build.stacks import Images
from metallize.build.steps import steps_of
from metallize.build.store import Store, Stored
from metallize.catalog import Catalog
from metallize.deciding import judge
from metallize.errors import VerificationFailed
from metallize.events import Events, Level, Note, step
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.paces import Paced
from metallize.proof import Proof
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says on top of the profile."""

    build_dir: Path | None = None
    machines: tuple[str, ...] = ()
    """Only these entries of boot.machines; all where empty."""
    accel: str = "auto"
    fresh: bool = False
    """--no-cache: build every layer again, the tools' too, and make the bases again that are made here."""
    pull: bool = False
    """--pull: ask the registries for newer bases; what is made here is made again."""
    check: bool = False
    """--check: build a second time from nothing, and compare."""
    again: bool = False
    """Boot also on the machines where these bytes are known to hold what is asked."""
    keep_running: bool = False
    given: tuple[Given, ...] | None = None
    """--secret and --ssh; None where nothing is built, and so nothing has to be given."""
    capture: bool = False
    """Keep every packet of the guest's network card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build ended with: the image in its place, and the reports where it was verified."""

    image: Path
    sha256: str
    built: bool
    """False where the image was there already."""
    reports: tuple[BootReport, ...] = ()
    verified: bool = False
    """True where every machine of the profile passed, now or before with the same bytes, assertions and judge."""
    lacking: tuple[str, ...] = ()
    """The machines of the profile on which it passed neither now nor before; it is not in its place for that."""


def plan_of(profile: Profile, catalog: Catalog, options: Options) -> BuildPlan:
    """The plan. Raises ProfileError where its parts do not fit together, a secret is not given, or a key is no good."""
    plan = planning.plan_of(profile, catalog, options.build_dir)
    if options.given is None:
        return plan
    if plan.signing is not None:
        require_key(profile, plan.signing)
    return with_given(plan, options.given)


def packages_now(plan: BuildPlan, engine: Engine, events: Events, options: Options) -> tuple[Package, ...]:
    """The packages that the plan's layers install today; the layers are built, and no image is made."""
    store = Store(build_dir=plan.build_dir, file=plan.file)
    with store.locked(events, abandon=engine.remove_leftovers):
        making = Making(plan=plan, steps=steps_of(plan), engine=engine, events=events)
        return making.packages(making.images(fresh=options.fresh))


def prepare(
    profile: Profile, catalog: Catalog, options: Options, *, verified: bool, emulated: bool = True
) -> BuildPlan:
    """All that can be refused before an engine is asked, and then the plan.

    Raises ProfileError where layers and generator do not fit together; with `verified` also UsageError where there is
    no machine to boot the image on, and HostError where there is no QEMU, unless it is to be booted elsewhere.
    """
    asked_epoch()
    if verified:
        if options.machines and profile.boot is not None and profile.boot.machines:
            verification.entries_of(profile, catalog, ())  # the image is verified once it has passed on all of these
        entries = verification.entries_of(profile, catalog, options.machines)
        machines = [verification.machine_named(catalog, entry.machine or name) for name, entry in entries.items()]
        if emulated:
            verification.require_emulators(machines)
    return plan_of(profile, catalog, options)


def build(
    plan: BuildPlan,
    profile: Profile,
    catalog: Catalog,
    engine: Engine,
    events: Events,
    options: Options,
    *,
    verified: bool,
) -> Built:
    """Build the profile's image; with `verified` boot it first, and only then put it in its place.

    Raises VerificationFailed, with the reports in its `reports`, where a machine did not pass; without `verified`,
    where the image is known to have failed and would take the place of a verified one.
    """
    with _making(plan, engine, events) as (store, making, told):
        stored, images = _current(plan, store, making, told, options)
        if stored is not None:
            if not verified:
                return _without_verification(store, profile, catalog, options, stored, built=False)
            return _conclude(store, profile, catalog, told, options, stored, built=False)
        with store.workspace() as work:
            stored = _made(store, making, images, work, options)
            if not verified:
                return _without_verification(store, profile, catalog, options, stored, built=True)
            return _conclude(store, profile, catalog, told, options, stored, built=True)


def make(plan: BuildPlan, engine: Engine, events: Events, options: Options, *, keep: Callable[[Store, Stored], T]) -> T:
    """Build the profile's image for boots that are still to be made, and leave it aside, or where it was already.

    `keep` is called with it before anybody else may build it anew; what it returns is returned.
    """
    with _making(plan, engine, events) as (store, making, told):
        stored, images = _current(plan, store, making, told, options)
        if stored is not None:
            return keep(store, stored)
        with store.workspace() as work:
            return keep(store, _aside(store, _made(store, making, images, work, options)))


@contextmanager
def _making(plan: BuildPlan, engine: Engine, events: Events) -> Iterator[tuple[Store, Making, Events]]:
    """The store of a plan's image while nobody else builds it, and what makes it."""
    store = Store(build_dir=plan.build_dir, file=plan.file)
    for orphan in engine.remove_orphans():
        events.emit(Note(text=f"{orphan} was left by a build that was killed, and is removed"))
    with store.locked(events, abandon=engine.remove_leftovers):
        told = Paced(events, store.build_dir)
        yield store, Making(plan=plan, steps=steps_of(plan), engine=engine, events=told), told


def _current(
    plan: BuildPlan, store: Store, making: Making, events: Events, options: Options
) -> tuple[Stored | None, Images]:
    """The image that is there, if nothing has changed; and the images that it is made of."""
    fresh = options.fresh or options.check
    images = making.images(fresh=fresh, pull=options.pull)
    there = () if fresh else (store.any(), store.kept())
    stored = next((each for each in there if each and making.is_current(each, images)), None)
    if stored is not None:
        require_locked(plan.profile, packages_of(stored.manifest))
        with step(events, "image", f"image {plan.file}") as done:
            done.cached()
            done.detail = "nothing has changed"
    return stored, images


def _made(store: Store, making: Making, images: Images, work: Path, options: Options) -> Stored:
    """The image, made in a folder; with --check it is the same when it is made again."""
    stored = making.image(images, work)
    if options.check:
        making.require_same_again(images, store, stored)
    return stored


def _aside(store: Store, stored: Stored) -> Stored:
    """A new image where it waits for its verdict: aside, or in the place of the same bytes."""
    there = store.any()
    if there is not None and there.sha256 == stored.sha256:
        return store.publish(store.image, stored.manifest)
    return store.put_aside(stored.path, stored.manifest)


def _conclude(
    store: Store,
    profile: Profile,
    catalog: Catalog,
    events: Events,
    options: Options,
    stored: Stored,
    *,
    built: bool,
) -> Built:
    """Boot it on the machines that were asked for; only what has passed on all of the profile's goes in its place.

    What failed, and what is not yet verified everywhere, is kept aside, or left where the build folder holds it.
    """
    required = required_of(profile, catalog, stored, options, store.build_dir)
    asked = requests_of(profile, catalog, stored, options, store.build_dir)
    proof = known_of(store, stored.sha256)
    missing = asked if options.again else proof.missing(asked)
    if built:
        stored = _aside(store, stored)
    if len(missing) < len(asked):
        with step(events, "verify", "verify") as known:
            known.cached()
            where = ", ".join(request.machine_entry for request in asked if request not in missing)
            known.detail = f"these bytes held these assertions before{f' on {where}' if missing else ''}"
    reports = verification.run_all(requests_at(missing, stored.path), events) if missing else ()
    if reports:
        stored.require_untouched()
    proof = proof.with_boots(stored.sha256, missing, reports)
    proof = proof.asking(required, plan=str(stored.manifest.get("plan", "")), profile=str(profile.path))
    if not all(report.passed for report in reports):
        proof.save(stored.path)
        raise proofs.failed(reports)
    if not proof.covers(stored.sha256, required):
        proof.save(stored.path)
        why = not_yet(proof, stored, profile, options, required)
        aside = "" if stored.path == store.image else f" (it is kept aside as {stored.path})"
        events.emit(Note(text=f"{why}{aside}", level=Level.WARNING))
        lacking = tuple(request.machine_entry for request in proof.missing(required))
        return Built(image=stored.path, sha256=stored.sha256, built=built, reports=reports, lacking=lacking)
    if missing or stored.path != store.image:
        place(store, stored, proof)
    elif proof != Proof.load(store.image):
        proof.save(store.image)
    return Built(image=store.image, sha256=stored.sha256, built=built, reports=reports, verified=True)


def _without_verification(
    store: Store, profile: Profile, catalog: Catalog, options: Options, stored: Stored, *, built: bool
) -> Built:
    """Put the image in its place, with what is known of it.

    Raises VerificationFailed where it is known to fail, and a verified one would have to go for it.
    """
    done = Built(image=store.image, sha256=stored.sha256, built=built)
    if stored.path == store.image:
        return done
    proof, there = known_of(store, stored.sha256), store.any()
    if there is not None and there.sha256 != stored.sha256 and Proof.load(there.path).of(there.sha256).whole:
        required = required_of(profile, catalog, stored, options, store.build_dir) if proof.sha256 else ()
        wrong = [request.machine_entry for request in required if proof.refutes(request)]
        if wrong:
            raise VerificationFailed(
                f"{store.image} is verified and stays: what {profile.path} makes now has failed its verification on "
                f"{', '.join(wrong)}",
                hint=f"see why: {command_for(profile, options, 'build', '--verify')}; to have it all the same, remove "
                f"{store.image} first",
            )
    place(store, stored, proof)
    return done


def place(store: Store, stored: Stored, proof: Proof) -> None:
    """The image in its place, and then what proves it: nobody finds it with the papers of another one."""
    if stored.path != store.image:
        proofs.withdraw(store.image)
    store.publish(stored.path, stored.manifest)
    if proof.sha256:
        proof.save(store.image)


def known_of(store: Store, sha256: str) -> Proof:
    """What is known of these bytes, in their place or kept aside."""
    proof = proofs.nothing(proofs.NOT_VERIFIED)
    for stored in (store.kept(), store.any()):
        if stored is not None and stored.sha256 == sha256:
            proof = proof.joined(Proof.load(stored.path).of(sha256))
    return proof


def not_yet(proof: Proof, stored: Stored, profile: Profile, options: Options, required: Sequence[VerifyRequest]) -> str:
    """What keeps an image that passed where it was booted from being a verified one, and the next step."""
    why = "; ".join(proof.objections(Path(profile.output.file), stored.sha256, required))
    machines = machines_of(proof.missing(required), required)
    return f"{why}; next: {command_for(profile, options, 'build', '--verify', *machines)}"


def machines_of(missing: Sequence[VerifyRequest], required: Sequence[VerifyRequest]) -> tuple[str, ...]:
    """The words of a command line that boots on what is missing; none where that is everything."""
    if len(missing) == len(required):
        return ()
    return tuple(word for request in missing for word in ("--machine", request.machine_entry))


def command_for(profile: Profile, options: Options, verb: str, *words: str) -> str:
    """The command line that does something with this image of the profile."""
    several = ("--output", profile.output.file) if profile.several else ()
    folder = ("--build-dir", str(options.build_dir)) if options.build_dir is not None else ()
    return shlex.join(["metallize", verb, str(profile.path), *words, *several, *folder])


def requests_at(requests: Sequence[VerifyRequest], image: Path) -> tuple[VerifyRequest, ...]:
    """The same requests for an image that has moved."""
    return tuple(replace(request, image=image) for request in requests)


def requests_of(
    profile: Profile, catalog: Catalog, stored: Stored, options: Options, build_dir: Path
) -> tuple[VerifyRequest, ...]:
    """A request for each machine that the profile, or else the command line, boots the image on."""
    judge()  # who judges is known from before the boots on
    return verification.requests_for(
        profile,
        catalog,
        stored.path,
        ImageFormat(stored.manifest["format"]),
        machines=options.machines,
        build_dir=build_dir,
        accel=options.accel,
        keep_running=options.keep_running,
        capture=options.capture,
        sha256=stored.sha256,
        manifest=stored.manifest,
        published=(build_dir / profile.output.file).absolute(),
    )


def required_of(
    profile: Profile, catalog: Catalog, stored: Stored, options: Options, build_dir: Path
) -> tuple[VerifyRequest, ...]:
    """A request for each machine that the profile boots the image on, whatever the command line says.

    Of a profile that names none, and whose generator knows none, what the command line says counts.
    """
    declared = profile.boot.machines if profile.boot is not None else ()
    if declared or catalog.generators[profile.output.generator].machines:
        options = replace(options, machines=())
    elif not options.machines:
        return ()
    return requests_of(profile, catalog, stored, options, build_dir)
