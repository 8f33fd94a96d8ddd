"""The whole way, in order: plan, base, layers, image, boots, build folder. Everything else is a part of this."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metallize import __version__
from metallize.build import bases
from metallize.build.engines.engine import Assembly, Engine, ImageInfo
from metallize.build.generator import DiskImage, make_image
from metallize.build.plan import BaseImage, BuildPlan, ImageStack, LayerBuild
from metallize.build.planner import native_tools
from metallize.build.planner import plan as make_plan
from metallize.build.sources import LayerSource, read_layer
from metallize.build.store import Store, Stored, write_json
from metallize.catalog import Catalog, host_platform
from metallize.events import Events, step
from metallize.model.catalogue import Layer
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
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
    """--no-cache: build every layer again."""
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
    """True where every machine passed, now or before with the same bytes and assertions."""


def plan_of(profile: Profile, catalog: Catalog, options: Options) -> BuildPlan:
    """The profile's BuildPlan. Raises ProfileError where its layers or its generator do not fit together."""
    generator = catalog.generators[profile.output.generator]
    common = generator.folder.parent / "common"
    parts: list[str | LayerSource] = []
    for name in profile.images:
        layer = catalog.layer(name, beside=profile.path.parent, dockerfile_dir=profile.settings.dockerfile_dir)
        parts.append(name if layer is None else read_layer(layer))
    return make_plan(
        profile,
        generator=generator,
        rootfs=parts,
        tools=[read_layer(_folder_layer(folder)) for folder in (common, generator.folder)],
        seal=read_layer(_folder_layer(common / "seal")),
        native=_native_source(common),
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


def native_tools_for(base: BaseImage, catalog: Catalog) -> LayerBuild | None:
    """The layer of this host's own tools for a base of another architecture; None where it is of the same."""
    if base.platform is host_platform():
        return None
    common = next(iter(catalog.generators.values())).folder.parent / "common"
    return native_tools(_native_source(common), base, host_platform())


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
    if verified:
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

    Raises VerificationFailed, with the reports in its `reports`, where a machine did not pass.
    """
    store = Store(build_dir=plan.build_dir, file=plan.file)
    with store.locked(events, abandon=engine.remove_leftovers):
        images = _build_images(plan, engine, events, fresh=options.fresh)
        epoch = os.environ.get("SOURCE_DATE_EPOCH") or ""
        inputs = _digest(plan.id, epoch, *(image.id for image in (images.base, images.tools_base) if image))
        stored = None if options.fresh else store.current(inputs) or store.kept(inputs)
        if stored is not None:
            with step(events, "image", f"image {plan.file}") as done:
                done.cached()
                done.detail = "nothing has changed"
            return _conclude(store, profile, catalog, events, options, stored, verified=verified, built=False)
        with store.workspace() as work:
            stored = _make(plan, images, engine, events, work, inputs)
            return _conclude(store, profile, catalog, events, options, stored, verified=verified, built=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Images:
    base: ImageInfo | None
    origin: str
    rootfs: ImageInfo
    layers: tuple[ImageInfo, ...]
    tools_base: ImageInfo | None
    tools: ImageInfo


def _build_images(plan: BuildPlan, engine: Engine, events: Events, *, fresh: bool) -> _Images:
    """Both stacks, side by side: the rootfs's and the generator's tools."""
    base = bases.resolve(engine, plan.rootfs.base, events, plan.native_tools) if plan.rootfs.base else None
    tools_base = bases.resolve(engine, plan.tools.base, events) if plan.tools.base else None
    with ThreadPoolExecutor(max_workers=1) as side:
        tools = side.submit(
            _build_stack, plan.tools, tools_base.image if tools_base else None, engine, events, fresh=False
        )
        try:
            layers = _build_stack(plan.rootfs, base.image if base else None, engine, events, fresh=fresh)
            tool_layers = tools.result()
        except BaseException:
            engine.cancel()
            raise
    return _Images(
        base=base.image if base else None,
        origin=str(base.origin) if base else "",
        rootfs=_top(layers, base),
        layers=layers,
        tools_base=tools_base.image if tools_base else None,
        tools=_top(tool_layers, tools_base),
    )


def _top(layers: Sequence[ImageInfo], base: bases.Base | None) -> ImageInfo:
    if layers:
        return layers[-1]
    assert base is not None  # noqa: S101 - a profile has at least one image
    return base.image


def _build_stack(
    stack: ImageStack, base: ImageInfo | None, engine: Engine, events: Events, *, fresh: bool
) -> tuple[ImageInfo, ...]:
    """Build each layer on the one below it; one that stands there already on this very image is left alone."""
    parent, built = base, []
    for layer in stack.layers:
        with step(events, f"layer {layer.tag}", f"layer {layer.name}") as building:
            found = None if fresh else engine.inspect(layer.tag)
            if found is not None and found.parent == (parent.id if parent else ""):
                building.cached()
                image = found
            else:
                complete = bases.with_native_base(engine, layer, events)
                image = engine.build(complete, parent, stack.platform, building.output, fresh=fresh)
        built.append(image)
        parent = image
    return tuple(built)


def _make(plan: BuildPlan, images: _Images, engine: Engine, events: Events, work: Path, inputs: str) -> Stored:
    """Run the generator and write down what came of it."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or images.rootfs.created.timestamp())
    assembly = Assembly(
        top=images.rootfs,
        platform=plan.rootfs.platform,
        seal=plan.seal,
        tools=images.tools,
        job=plan.job.as_json(),
        epoch=epoch,
        out=work,
        label=work.name,
    )
    with step(events, "image", f"image {plan.file}") as making:
        image = make_image(engine, assembly, plan.job.format, making.output)
        making.detail = f"{image.size_bytes / (1 << 20):.0f} MiB, sha256 {image.sha256[:12]}"
    return Stored(path=image.path, manifest=_manifest(plan, images, image, inputs, epoch))


def _manifest(plan: BuildPlan, images: _Images, image: DiskImage, inputs: str, epoch: int) -> dict[str, Any]:
    return {
        "metallize": __version__,
        "inputs": inputs,
        "plan": plan.id,
        "profile": plan.name,
        "sha256": image.sha256,
        "size": image.size_bytes,
        "format": str(image.format),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_date_epoch": epoch,
        "platform": str(plan.rootfs.platform),
        "base": {
            "reference": plan.rootfs.base.reference if plan.rootfs.base else None,
            "origin": images.origin,
            "digest": images.base.id if images.base else None,
        },
        "layers": [
            {"name": layer.name, "tag": layer.tag, "digest": info.id}
            for layer, info in zip(plan.rootfs.layers, images.layers, strict=True)
        ],
        "generator": {"name": plan.job.generator, "options": dict(plan.job.options), "digest": images.tools.id},
        "kernel_boot_params": plan.job.kernel_boot_params,
        **{key: image.facts.get(key) for key in ("kernel", "os", "firmware", "packages", "tools", "rootfs_bytes")},
    }


def _conclude(
    store: Store,
    profile: Profile,
    catalog: Catalog,
    events: Events,
    options: Options,
    stored: Stored,
    *,
    verified: bool,
    built: bool,
) -> Built:
    """Verify where asked, then put the image in its place; one that fails is kept aside or left where it was."""
    if not verified:
        if stored.path != store.image:
            store.publish(stored.path, stored.manifest, None)
        return Built(image=store.image, sha256=stored.sha256, built=built)
    requests = requests_of(profile, catalog, stored, options, store.build_dir)
    identity = verification.identity(stored.sha256, requests)
    if stored.path == store.image and verification.passed_before(store, identity):
        with step(events, "verify", "verify") as known:
            known.cached()
            known.detail = "these bytes held these assertions before"
        return Built(image=store.image, sha256=stored.sha256, built=built, verified=True)
    if built:
        stored = store.put_aside(stored.path, stored.manifest)
    reports = verification.run_all(requests_at(requests, stored.path), events)
    record = verification.record(stored.sha256, identity, reports)
    if not all(report.passed for report in reports):
        if stored.path == store.image:
            write_json(store.verification, record)
        raise verification.failed(reports)
    store.publish(stored.path, stored.manifest, record)
    return Built(image=store.image, sha256=stored.sha256, built=built, reports=reports, verified=True)


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


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
