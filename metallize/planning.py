"""From a profile and a catalogue to the plan of its build: reads what the planner, which is pure, decides on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metallize.build.base import snapshot
from metallize.build.plan import BaseImage, BuildPlan
from metallize.build.planner import native_tools
from metallize.build.planner import plan as make_plan
from metallize.build.signing import signing_of
from metallize.build.sources import LayerSource, read_layer
from metallize.build.step import Step
from metallize.build.steps import BASE, base_step
from metallize.catalog import Catalog, host_platform
from metallize.model.catalogue import Layer
from metallize.model.loaded import Profile
from metallize.model.machine import Firmware
from metallize.model.profile import Platform


def plan_of(profile: Profile, catalog: Catalog, build_dir: Path | None = None) -> BuildPlan:
    """The profile's BuildPlan. Raises ProfileError where its layers or its generator do not fit together."""
    generator = catalog.generators[profile.output.generator]
    common = generator.folder.parent / "common"
    foreign = profile.platform is Platform.ARM64 and Firmware.UEFI in generator.firmware
    loaders = (common / "loaders-arm64",) if foreign else ()
    parts: list[str | LayerSource] = []
    for index, name in enumerate(profile.images):
        layer = catalog.layer(name, beside=profile.path.parent, dockerfile_dir=profile.settings.dockerfile_dir)
        if layer is not None and index in profile.contexts:
            layer = replace(layer, context=profile.contexts[index])
        below = parts[-1] if parts else None
        triggers = below.dockerfile.triggers if isinstance(below, LayerSource) else ()
        parts.append(name if layer is None else read_layer(layer, triggers=triggers, refuse=False))
    return make_plan(
        profile,
        generator=generator,
        rootfs=parts,
        tools=[read_layer(_folder_layer(folder)) for folder in (common, *loaders, generator.folder)],
        seal=read_layer(_folder_layer(common / "seal")),
        native=_native_source(common),
        base_recipe=_base_recipe(common),
        host_platform=host_platform(),
        build_dir=build_dir or Path(profile.settings.build_dir),
        mirrors=snapshot.mirrors(),
        signing=signing_of(profile),
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
