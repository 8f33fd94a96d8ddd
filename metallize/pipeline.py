"""The whole way, in order: plan, base, layers, image, boots, build folder. Everything else is a part of this."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metallize import proof as proofs
from metallize.build.census import Census, Package, census, epoch_of, newest_of, snapshot
from metallize.build.currency import changes_since
from metallize.build.engines.engine import Assembly, Engine
from metallize.build.epoch import source_date_epoch
from metallize.build.generator import make_image
from metallize.build.lock import packages_of, require_locked
from metallize.build.plan import BaseImage, BuildPlan
from metallize.build.planner import native_tools
from metallize.build.planner import plan as make_plan
from metallize.build.sources import LayerSource, read_layer
from metallize.build.stacks import Images, build_images, manifest_of
from metallize.build.step import DOCKER, EPOCH, USER, Step, filled
from metallize.build.steps import BASE, BUILDER, COMPARED, LABEL, MOUNTED, NOTHING, Steps, base_step, steps_of
from metallize.build.store import Store, Stored
from metallize.build.twice import Attempt, attempt, different
from metallize.catalog import Catalog, host_platform
from metallize.errors import VerificationFailed
from metallize.events import Events, Level, Note, step
from metallize.model.catalogue import Layer
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.proof import Proof
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification


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
    """The profile's BuildPlan. Raises ProfileError where its layers or its generator do not fit together."""
    generator = catalog.generators[profile.output.generator]
    common = generator.folder.parent / "common"
    parts: list[str | LayerSource] = []
    for index, name in enumerate(profile.images):
        layer = catalog.layer(name, beside=profile.path.parent, dockerfile_dir=profile.settings.dockerfile_dir)
        if layer is not None and index in profile.contexts:
            layer = replace(layer, context=profile.contexts[index])
        below = parts[-1] if parts else None
        triggers = below.dockerfile.triggers if isinstance(below, LayerSource) else ()
        parts.append(name if layer is None else read_layer(layer, triggers=triggers))
    return make_plan(
        profile,
        generator=generator,
        rootfs=parts,
        tools=[read_layer(_folder_layer(folder)) for folder in (common, generator.folder)],
        seal=read_layer(_folder_layer(common / "seal")),
        native=_native_source(common),
        base_recipe=_base_recipe(common),
        host_platform=host_platform(),
        build_dir=options.build_dir or Path(profile.settings.build_dir),
    )


def _native_source(common: Path) -> LayerSource:
    return read_layer(
        Layer(
            name="native-tools",
            path=common / "native" / "Dockerfile",
            context=common / "native",
            summary="tools of this host's architecture, so that the costly ones are not emulated (taken out again)",
        )
    )


def base_of(base: BaseImage, catalog: Catalog) -> Step:
    """The step of a base that no profile asks for."""
    common = next(iter(catalog.generators.values())).folder.parent / "common"
    native = None if base.platform is host_platform() else native_tools(_native_source(common), base, host_platform())
    return base_step(BASE, base, _base_recipe(common), native)


def _base_recipe(common: Path) -> Path:
    return common / "base" / "Dockerfile"


def _folder_layer(folder: Path) -> Layer:
    """A folder with a Dockerfile as a layer of the tools' stack."""
    return Layer(
        name=f"generator-{folder.name}", path=folder / "Dockerfile", context=folder, summary="the generator's tools"
    )


def prepare(profile: Profile, catalog: Catalog, options: Options, *, verified: bool) -> BuildPlan:
    """All that can be refused before an engine is asked, and then the plan.

    Raises ProfileError where layers and generator do not fit together; with `verified` also UsageError where there is
    no machine to boot the image on, HostError where there is no QEMU.
    """
    _asked_epoch()
    if verified:
        if options.machines and profile.boot is not None and profile.boot.machines:
            verification.entries_of(profile, catalog, ())  # the image is verified once it has passed on all of these
        entries = verification.entries_of(profile, catalog, options.machines)
        machines = [verification.machine_named(catalog, entry.machine or name) for name, entry in entries.items()]
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
    store = Store(build_dir=plan.build_dir, file=plan.file)
    for orphan in engine.remove_orphans():
        events.emit(Note(text=f"{orphan} was left by a build that was killed, and is removed"))
    with store.locked(events, abandon=engine.remove_leftovers):
        steps = steps_of(plan)
        fresh = options.fresh or options.check
        images = build_images(plan, steps, engine, events, fresh=fresh, pull=options.pull)
        there = () if fresh else (store.any(), store.kept())
        stored = next((each for each in there if each and _is_current(each, plan, steps, images)), None)
        if stored is not None:
            require_locked(plan.profile, packages_of(stored.manifest))
            with step(events, "image", f"image {plan.file}") as done:
                done.cached()
                done.detail = "nothing has changed"
            if not verified:
                return _without_verification(store, profile, catalog, options, stored, built=False)
            return _conclude(store, profile, catalog, events, options, stored, built=False)
        with store.workspace() as work:
            stored = _make(plan, steps, images, engine, events, work)
            if options.check:
                _require_same_again(plan, steps, images, engine, events, store, stored)
            if not verified:
                return _without_verification(store, profile, catalog, options, stored, built=True)
            return _conclude(store, profile, catalog, events, options, stored, built=True)


def _is_current(stored: Stored, plan: BuildPlan, steps: Steps, images: Images) -> bool:
    try:
        newest = newest_of(stored.manifest)  # the same as long as the rootfs is, which the key holds to
    except ValueError:
        return False
    return not changes_since(stored.manifest, plan, steps, images.ids, epoch_of(_asked_epoch(), newest))


def _asked_epoch() -> str | None:
    epoch = source_date_epoch(os.environ)
    return None if epoch is None else str(epoch)


def _compared(images: Images, steps: Steps) -> str:
    """What the seal tells by which files are no layer's."""
    ground = images.made.get(steps.ground)
    return NOTHING if ground is None or ground.triggers else ground.reference


def _look(steps: Steps, images: Images, engine: Engine) -> Census:
    """Count the packages of the rootfs."""
    references = {name: image.reference for name, image in images.made.items()}
    return census(engine, filled(steps.look.argv, {**references, DOCKER.name: engine.command}))


def _make(plan: BuildPlan, steps: Steps, images: Images, engine: Engine, events: Events, work: Path) -> Stored:
    """Run the generator and write down what came of it."""
    with step(events, "packages", "packages") as counting:
        found = _look(steps, images, engine)
        locked = require_locked(plan.profile, found.packages)
        counting.detail = f"{len(found.packages)}{f', as {locked.name} has them' if locked else ''}"
    epoch = epoch_of(_asked_epoch(), found.newest)
    assembly = _assembly(plan, steps, images, engine, epoch, work, label=work.name)
    rootfs_bytes = images.made[steps.seal.inputs[0]].size_bytes
    with step(events, "image", f"image {plan.file}") as making:
        image = make_image(engine, assembly, plan.job.format, making.output, rootfs_bytes=rootfs_bytes)
        making.detail = f"{image.size_bytes / (1 << 20):.0f} MiB, sha256 {image.sha256[:12]}"
    told = {"package_snapshot": snapshot(found, locked.name if locked else None)}
    return Stored(path=image.path, manifest={**manifest_of(plan, steps, images, image, epoch), **told})


def _assembly(
    plan: BuildPlan, steps: Steps, images: Images, engine: Engine, epoch: int, work: Path, *, label: str
) -> Assembly:
    """The commands that seal the rootfs and make the image of it in a folder, with everything filled in.

    `label` is the name of the build's own folder, by which whoever finds that folder finds the container.
    """
    values = {
        **{name: image.reference for name, image in images.made.items()},
        DOCKER.name: engine.command,
        USER: engine.user,
        EPOCH: str(epoch),
        COMPARED: _compared(images, steps),
        LABEL: label,
        BUILDER: engine.builder,
        MOUNTED: str(work.absolute()).replace('"', '""'),
    }
    return Assembly(
        name=plan.job.name,
        seal=filled(steps.seal.argv, values),
        generate=filled(steps.generate.argv, values),
        out=work,
        label=label,
    )


def _require_same_again(
    plan: BuildPlan, steps: Steps, images: Images, engine: Engine, events: Events, store: Store, stored: Stored
) -> None:
    """Build a second time from nothing. Raises DifferentBytesError, with each file that differs, where the bytes do."""
    first = _attempt(plan, steps, images, engine, events, stored)
    with store.workspace() as work:
        images = build_images(plan, steps, engine, events, fresh=True)
        again = _make(plan, steps, images, engine, events, work)
        if again.sha256 != stored.sha256:
            raise different(plan, first, _attempt(plan, steps, images, engine, events, again))
    first.rootfs.unlink()
    events.emit(Note(text=f"two builds from nothing gave the same bytes: sha256 {stored.sha256}"))


def _attempt(plan: BuildPlan, steps: Steps, images: Images, engine: Engine, events: Events, stored: Stored) -> Attempt:
    """An image that has just been made, with the rootfs that went into it."""
    folder = stored.path.with_name("rootfs")
    folder.mkdir()
    epoch = int(stored.manifest["source_date_epoch"])
    with step(events, "rootfs", f"rootfs of {plan.file}, to compare") as keeping:
        assembly = _assembly(plan, steps, images, engine, epoch, folder, label=stored.path.parent.name)
        return attempt(engine, assembly, stored, keeping.output)


def packages_now(plan: BuildPlan, engine: Engine, events: Events, options: Options) -> tuple[Package, ...]:
    """The packages that the plan's layers install today; the layers are built, and no image is made."""
    store = Store(build_dir=plan.build_dir, file=plan.file)
    with store.locked(events, abandon=engine.remove_leftovers):
        steps = steps_of(plan)
        images = build_images(plan, steps, engine, events, fresh=options.fresh)
        return _look(steps, images, engine).packages


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
        there = store.any()
        if there is not None and there.sha256 == stored.sha256:
            stored = store.publish(store.image, stored.manifest)
        else:
            stored = store.put_aside(stored.path, stored.manifest)
    if len(missing) < len(asked):
        with step(events, "verify", "verify") as known:
            known.cached()
            where = ", ".join(request.machine_entry for request in asked if request not in missing)
            known.detail = f"these bytes held these assertions before{f' on {where}' if missing else ''}"
    reports = verification.run_all(requests_at(missing, stored.path), events) if missing else ()
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
        _place(store, stored, proof)
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
    _place(store, stored, proof)
    return done


def _place(store: Store, stored: Stored, proof: Proof) -> None:
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
