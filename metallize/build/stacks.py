"""The two stacks of a plan, built side by side: the rootfs's and the generator's tools; and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metallize import __version__
from metallize.build import bases
from metallize.build.engines.engine import Engine, ImageInfo
from metallize.build.generator import DiskImage
from metallize.build.plan import BuildPlan, ImageStack
from metallize.events import Events, step


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What a plan's layers became in the engine."""

    base: ImageInfo | None
    origin: str
    rootfs: ImageInfo
    layers: tuple[ImageInfo, ...]
    tools_base: ImageInfo | None
    tools: ImageInfo


def build_images(plan: BuildPlan, engine: Engine, events: Events, *, fresh: bool) -> Images:
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
    return Images(
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


def manifest_of(plan: BuildPlan, images: Images, image: DiskImage, inputs: str, epoch: int) -> dict[str, Any]:
    """build/FILE.manifest.json: what the image is and what it was made from."""
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
