"""Whether an image is what its profile makes today: one answer for build, verify, publish and the pytest gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metallize.build.engines.engine import Engine
from metallize.build.plan import BuildPlan
from metallize.build.step import Kind, tag_of
from metallize.build.steps import BASE, Steps, image_key, steps_of
from metallize.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an image would be made from otherwise today, by name."""

    asked: tuple[str, ...] = ()
    """The profile, its layers or its generator say something else."""
    moved: tuple[str, ...] = ()
    """They say the same, and the engine has other images for them: another base, a layer that was built again."""

    def __bool__(self) -> bool:
        return bool(self.asked or self.moved)

    def __str__(self) -> str:
        told = [f"{', '.join(self.asked)} changed since"] if self.asked else []
        told += [f"{', '.join(self.moved)} was made again since"] if self.moved else []
        return "; ".join(told)


def changes_since(
    manifest: Mapping[str, Any],
    plan: BuildPlan,
    steps: Steps,
    known: Mapping[str, str],
    epoch: int | None = None,
) -> Changes:
    """What has changed since an image was made, by its manifest; nothing where it is current.

    `known` has the ids of those steps' images that the engine has (`known_images`): what it has not is taken to be
    what it was. Who knows all of them, as a build does, gives the `epoch` too, and gets an answer that is sure.
    """
    asked, moved = tuple(_asked(manifest, plan)), tuple(_moved(manifest, plan, steps, known))
    if not asked and not moved and epoch is not None and manifest.get("inputs") != image_key(steps, known, epoch):
        moved = ("SOURCE_DATE_EPOCH" if manifest.get("source_date_epoch") != epoch else "what it was made with",)
    return Changes(asked=asked, moved=moved)


def _asked(manifest: Mapping[str, Any], plan: BuildPlan) -> Iterator[str]:
    if manifest.get("plan") == plan.id:
        return
    found = []
    if _of(manifest, "base").get("reference") != (plan.rootfs.base.reference if plan.rootfs.base else None):
        found.append("the base image")
    archive = plan.rootfs.base.snapshot if plan.rootfs.base else ""
    if (_of(manifest, "package_snapshot").get("archive") or "") != archive:
        found.append("base.snapshot")
    keys = [layer.get("key") for layer in _layers(manifest)]
    found += [f"layer {layer.name}" for layer in plan.rootfs.layers if layer.key not in keys]
    generator = _of(manifest, "generator")
    if generator.get("name") != plan.job.generator:
        found.append("the generator")
    elif generator.get("options") != dict(plan.job.options):
        found.append("the generator's options")
    if _of(manifest, "secure_boot") != (plan.signing.told() if plan.signing is not None else {}):
        found.append("output.secure_boot")
    if manifest.get("kernel_boot_params") != plan.job.kernel_boot_params:
        found.append("kernel_boot_params")
    yield from found or ["its plan"]


def _moved(manifest: Mapping[str, Any], plan: BuildPlan, steps: Steps, known: Mapping[str, str]) -> Iterator[str]:
    if BASE in known and _of(manifest, "base").get("digest") != known[BASE]:
        yield "the base image"
    made = {layer.get("key"): layer.get("digest") for layer in _layers(manifest)}
    layers = [each for each in steps.rootfs if each.kind is Kind.LAYER]
    for layer, each in zip(plan.rootfs.layers, layers, strict=True):
        if each.id in known and made.get(layer.key, known[each.id]) != known[each.id]:
            yield f"layer {layer.name}"
            break  # all above it are others for that
    [tools] = steps.generate.inputs
    if tools in known and _of(manifest, "generator").get("digest") != known[tools]:
        yield "the generator's tools"


def _of(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, dict) else {}


def _layers(manifest: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = manifest.get("layers")
    return [layer for layer in found if isinstance(layer, dict)] if isinstance(found, list) else []


def inputs_in(manifest: Mapping[str, Any]) -> str:
    """A digest of all that an image was made from. Raises KeyError where its manifest does not say."""
    return str(manifest["inputs"])


def inputs_of(plan: BuildPlan, rootfs: str, tools: str, epoch: int) -> str:
    """What `inputs_in` says of an image that this plan makes of images with these ids."""
    steps = steps_of(plan)
    top, generator = steps.seal.inputs
    return image_key(steps, {top: rootfs, generator: tools}, epoch)


def known_images(steps: Steps, engine: Engine) -> dict[str, str]:
    """The ids of the steps' images that the engine has already. Raises EngineError where it does not answer."""
    known: dict[str, str] = {}
    for each in (*steps.rootfs, *steps.tools):
        if each.kind is Kind.BASE:
            places = (engine.inspect(place) for place in each.places)
            found = next((image for image in places if image and image.platform in (None, each.platform)), None)
        elif all(name in known for name in each.inputs):
            found = engine.inspect(tag_of(each, [known[name] for name in each.inputs]))
        else:
            continue
        if found is not None:
            known[each.id] = found.id
    return known


def known_to(engine: Engine, steps: Steps) -> dict[str, str]:
    """The same of an engine that may not answer: then nothing is known."""
    try:
        return known_images(steps, engine)
    except EngineError:
        return {}
