"""The two stacks of a plan, built side by side: the rootfs's and the generator's tools; and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metallize import __version__
from metallize.build.base import bases
from metallize.build.base.bases import Renewal
from metallize.build.engines import buildkit
from metallize.build.engines.engine import Engine, ImageInfo
from metallize.build.generator import DiskImage
from metallize.build.plan import BuildPlan, ImageStack, LayerBuild
from metallize.build.secrets.given import hidden
from metallize.build.step import DOCKER, PARENT_ID, TAG, Kind, Step, filled, pin_of, tag_of
from metallize.build.steps import BASE, Steps, image_key
from metallize.errors import EngineError
from metallize.events import Events, StepHandle, step

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What a plan's steps became in the engine."""

    made: Mapping[str, ImageInfo]
    """By step."""
    origin: str
    """Where the rootfs's base is from; empty where it has none."""

    @property
    def ids(self) -> dict[str, str]:
        return {name: image.id for name, image in self.made.items()}


def build_images(
    plan: BuildPlan, steps: Steps, engine: Engine, events: Events, *, fresh: bool = False, pull: bool = False
) -> Images:
    """Both stacks, side by side: the rootfs's and the generator's tools.

    `fresh` takes no layer, and no base that was made here, as it is; `pull` no base.
    """
    renew = Renewal.ALL if pull else Renewal.MADE if fresh else Renewal.NOTHING
    renewed: dict[str, bases.Base] = {}
    made: dict[str, ImageInfo] = {}
    origin = ""
    for each in (*steps.rootfs, *steps.tools):
        if each.kind is Kind.BASE:
            if each.key not in renewed:  # the rootfs and the tools often stand on the same one
                renewed[each.key] = bases.resolve(engine, each, events, renew)
            made[each.id] = renewed[each.key].image
            if each.id == BASE:
                origin = str(renewed[each.key].origin)
    builder = _Builder(engine=engine, events=events, fresh=fresh)
    with ThreadPoolExecutor(max_workers=1) as side:
        tools = side.submit(builder.build, steps.tools, plan.tools, made)
        try:
            rootfs = builder.build(steps.rootfs, plan.rootfs, made)
            return Images(made={**rootfs, **tools.result()}, origin=origin)
        except BaseException:
            engine.cancel()
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    """Builds the layers of a stack, one after the other."""

    engine: Engine
    events: Events
    fresh: bool

    def build(
        self, steps: Sequence[Step], stack: ImageStack, bases_made: Mapping[str, ImageInfo]
    ) -> dict[str, ImageInfo]:
        """The images of the steps, with those that were there before. Raises LayerError where a build fails."""
        made = dict(bases_made)
        layers = iter(stack.layers)
        for each in steps:
            if each.kind is Kind.LAYER:
                layer = next(layers)
                with step(self.events, f"layer {each.output} {each.key[:16]}", f"layer {layer.name}") as building:
                    made[each.id] = self._layer(each, layer, made, building)
        return made

    def _layer(self, each: Step, layer: LayerBuild, made: Mapping[str, ImageInfo], building: StepHandle) -> ImageInfo:
        if layer.taken:
            building.cached()
            return self._taken(layer)
        inputs = [made[name] for name in each.inputs]
        tag = tag_of(each, [image.id for image in inputs])
        found = None if self.fresh or layer.anew else self.engine.inspect(tag)
        if found is not None:
            building.cached()
            return found
        for _ in range(_TRIES):
            for name, reference in each.lent:
                self._lend(made[name], reference)
            self._run(each, layer, tag, inputs, building)
            image = self.engine.inspect(tag)
            if image is None:
                raise EngineError(f"Docker says it made {tag}, but does not know it", hint="is its disk full?")
            # Another build may have given a name of ours to another image while BuildKit read it.
            lent = all(leads_to(self.engine, reference, made[name]) for name, reference in each.lent)
            if lent and all(leads_to(self.engine, given.reference, given) for given in inputs):
                return image
            inputs = [staying(self.engine, given) for given in inputs]
        raise EngineError(
            f"what {layer.name} stands on changed while it was built",
            hint="is another build with --no-cache at work on the same layers? Let it end, and try again",
        )

    def _taken(self, layer: LayerBuild) -> ImageInfo:
        """The image that is to be taken for a layer, by a name that stays with it."""
        found = self.engine.inspect(layer.taken)
        if found is None:
            raise EngineError(
                f"the image of {layer.name} as it was ({layer.taken.rpartition(':')[2][:12]}) is there no longer",
                hint="what removes images, such as docker image prune or metallize prune, is best run after a night",
            )
        return pin(self.engine, found)

    def _lend(self, image: ImageInfo, reference: str) -> None:
        """See that a reference of a dockerfile leads to the image that was found for it: BuildKit knows no other."""
        if not leads_to(self.engine, reference, image):
            self.engine.tag(image, reference)

    def _run(self, each: Step, layer: LayerBuild, tag: str, inputs: Sequence[ImageInfo], building: StepHandle) -> None:
        values = {name: image.reference for name, image in zip(each.inputs, inputs, strict=True)}
        values |= {DOCKER.name: self.engine.command, TAG: tag, PARENT_ID: inputs[0].id if inputs else ""}
        argv = filled(each.argv, values)
        if self.fresh or layer.anew:
            argv = (*argv[:2], "--no-cache", *argv[2:])
        secret = tuple(line for given in layer.lent for line in given.lines())
        lines = self.engine.run(argv, lambda line: building.output(hidden(line, secret)))
        if lines is not None:
            raise buildkit.failure(layer, [hidden(line, secret) for line in lines])


def leads_to(engine: Engine, reference: str, image: ImageInfo) -> bool:
    """Whether a reference still means this very image: another build with --no-cache may have given it another."""
    found = engine.inspect(reference)
    return found is not None and found.id == image.id


def staying(engine: Engine, image: ImageInfo) -> ImageInfo:
    """The image by a reference that leads to it, and if need be by one that stays with it."""
    return image if leads_to(engine, image.reference, image) else pin(engine, image)


def pin(engine: Engine, image: ImageInfo) -> ImageInfo:
    """The image by a name that stays with it."""
    return engine.tag(image, pin_of(image.id))


_TOLD = ("kernel", "os", "firmware", "packages", "tools", "rootfs_bytes", "files")
"""What the manifest has in the generator's words."""
_TOLD_IF_THERE = ("parts", "signed", "pcr11")
"""The same, where a generator says it."""


def manifest_of(plan: BuildPlan, steps: Steps, images: Images, image: DiskImage, epoch: int) -> dict[str, Any]:
    """build/FILE.manifest.json: what the image is and what it was made from."""
    layers = [each for each in steps.rootfs if each.kind is Kind.LAYER]
    base = images.made.get(BASE)
    return {
        "metallize": __version__,
        "inputs": image_key(steps, images.ids, epoch),
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
            "digest": base.id if base else None,
        },
        "layers": [
            {"name": layer.name, "key": layer.key, "tag": images.made[each.id].reference, "digest": images.ids[each.id]}
            for layer, each in zip(plan.rootfs.layers, layers, strict=True)
        ],
        "generator": {
            "name": plan.job.generator,
            "options": dict(plan.job.options),
            "digest": images.ids[steps.generate.inputs[0]],
        },
        "kernel_boot_params": plan.job.kernel_boot_params,
        **{key: image.facts.get(key) for key in _TOLD},
        **{key: image.facts[key] for key in _TOLD_IF_THERE if key in image.facts},
        **({"secure_boot": plan.signing.told()} if plan.signing is not None else {}),
        **({"release": {"name": plan.job.release, "version": plan.job.version}} if plan.job.version else {}),
    }
