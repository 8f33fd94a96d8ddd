"""The steps of a plan, in their order: every command that a build runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from metallize.build import step as slots
from metallize.build.base.bootstrap import (
    BASE_ARCHIVE,
    NATIVE_ARCHIVE,
    NATIVE_TOOLS_STAGE,
    base_tag,
    bootstrap_argv,
    distribution,
    pulled_tag,
)
from metallize.build.packages.census import SCRIPT as CENSUS
from metallize.build.plan import (
    NATIVE_ARGUMENT,
    PARENT_LABEL,
    SOURCE_ARGUMENT,
    BaseImage,
    BuildPlan,
    ImageStack,
    LayerBuild,
)
from metallize.build.step import DOCKER, Kind, Slot, Step, Word, digest_of, key_of
from metallize.build.steps.assembly import (
    BUILD,
    COMPARED,
    NOTHING,
    export_step,
    generate_step,
    hold_step,
    seal_step,
    sign_step,
    token_step,
)
from metallize.host.token import Token
from metallize.model.profile import Platform

BASE, TOOLS_BASE, NATIVE_BASE = "base", "tools_base", "native_base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A plan's steps: the rootfs's stack, the tools' stack beside it, a look at the first, then the image of both."""

    rootfs: tuple[Step, ...]
    tools: tuple[Step, ...]
    look: Step
    seal: Step
    hold: Step
    export: Step
    generate: Step
    sign: Step | None
    """What signs the image, where it is signed."""
    token: Step | None = None
    """What asks a token for one signature, where the key is on one: between two runs of `sign`, for each of them."""
    ground: str
    """The step whose image the lowest layer stands on; empty where that is not known."""

    def __iter__(self) -> Iterator[Step]:
        yield from (*self.rootfs, *self.tools, self.look, self.seal, self.hold, self.export, self.generate)
        yield from (each for each in (self.sign, self.token) if each is not None)


def steps_of(plan: BuildPlan) -> Steps:
    """Every step of the plan."""
    native = plan.native_tools
    bases: list[Step] = []
    if plan.rootfs.base:
        bases.append(base_step(BASE, plan.rootfs.base, plan.base_recipe, native))
    if native and native.native_base:
        bases.append(base_step(NATIVE_BASE, native.native_base, plan.base_recipe))
    rootfs = (*bases, *_layers(plan, plan.rootfs, "layer", BASE))
    tools_base = () if plan.tools.base is None else (base_step(TOOLS_BASE, plan.tools.base, plan.base_recipe),)
    tools = (*tools_base, *_layers(plan, plan.tools, "tool", TOOLS_BASE))
    top = rootfs[-1].id if plan.rootfs.layers else BASE
    ground = plan.rootfs.ground and (plan.rootfs.ground.reference, plan.rootfs.ground.platform)
    compared = next((each.id for each in rootfs if (each.output, each.platform) == ground), "")
    against = Slot(name=COMPARED) if compared else NOTHING
    return Steps(
        rootfs=rootfs,
        tools=tools,
        look=_look(plan.rootfs.platform, top),
        seal=seal_step(plan.seal, plan.rootfs.platform, top, tools[-1].id, against),
        hold=hold_step(plan.rootfs.platform),
        export=export_step(),
        generate=generate_step(plan, tools[-1].id),
        sign=sign_step(plan, plan.signing, tools[-1].id) if plan.signing is not None else None,
        token=token_step(plan.signing.key) if plan.signing and isinstance(plan.signing.key, Token) else None,
        ground=compared,
    )


def base_step(identity: str, base: BaseImage, recipe: Path, native: LayerBuild | None = None) -> Step:
    """A base: what is local, else its registry's, else one that is made of the distribution's own packages.

    `recipe` is the dockerfile for an archive; `native` the layer of this host's tools for another architecture. A
    reference with a digest is that very image, which no packages make; and one as of a date no registry has.
    """
    pinned, wanted = "@" in base.reference, distribution(base.reference)
    places = [] if base.snapshot else [base.reference, pulled_tag(base.reference, base.platform)]
    otherwise: tuple[Step, ...] = ()
    if wanted is not None and not pinned:
        places.append(_own_name(base))
        otherwise = (
            *(_native_tools(native, base.platform, recipe) if native and native.native_base else ()),
            Step(
                id=f"{identity}_archive",
                kind=Kind.BOOTSTRAP,
                explain=f"{wanted.id} {wanted.suite} from its own packages",
                argv=bootstrap_argv(wanted, base.platform, native_tools=bool(native), sources=base.sources),
                output=BASE_ARCHIVE,
            ),
            _load(f"{identity}_image", base, recipe),
        )
    return Step(
        id=identity,
        kind=Kind.BASE,
        explain=f"{base.reference} ({base.platform})"
        + (f" as of {base.snapshot}: made" if base.snapshot else ": local, else its registry's")
        + (", else made" if otherwise and not base.snapshot else "")
        + (" of the distribution's own packages" if otherwise else ""),
        argv=() if base.snapshot else (DOCKER, "pull", "--platform", str(base.platform), base.reference),
        output=base.reference,
        key=digest_of("base", base.platform, base.reference, *base.sources),
        platform=base.platform,
        places=tuple(places),
        otherwise=otherwise,
    )


def _own_name(base: BaseImage) -> str:
    return base_tag(base.reference, base.platform, snapshot=base.snapshot, sources=base.sources)


def _load(identity: str, base: BaseImage, recipe: Path) -> Step:
    tag = _own_name(base)
    return Step(
        id=identity,
        kind=Kind.LOAD,
        explain=f"{tag}, an image of that archive",
        argv=(
            *BUILD,
            "--platform", str(base.platform),
            "--tag", tag,
            "--file", str(recipe),
            Slot(name=slots.SCRATCH),
        ),
        output=tag,
    )  # fmt: skip


def _native_tools(native: LayerBuild, platform: Platform, recipe: Path) -> Iterator[Step]:
    assert native.native_base is not None  # noqa: S101 - see the caller
    yield base_step(NATIVE_BASE, native.native_base, recipe)
    yield Step(
        id="native_archive",
        kind=Kind.EXPORT,
        explain=f"tools of this host for {platform}, so that the costly ones are not emulated",
        argv=(
            *BUILD,
            "--target", NATIVE_TOOLS_STAGE,
            # A CSV record: a path may hold a comma.
            "--output", Slot(name=slots.SCRATCH, before='type=tar,"dest=', after=f'/{NATIVE_ARCHIVE}"'),
            *_words(native, platform, "scratch"),
        ),
        inputs=(NATIVE_BASE,),
        output=NATIVE_ARCHIVE,
    )  # fmt: skip


def _layers(plan: BuildPlan, stack: ImageStack, prefix: str, base: str) -> Iterator[Step]:
    """The images that dockerfiles name themselves, and then each layer on the one below it."""
    named = dict.fromkeys(image for layer in stack.layers for image in layer.foreign)
    foreign = {image: f"{prefix}_from_{number}" for number, image in enumerate(named, 1)}
    for image, identity in foreign.items():
        yield base_step(identity, image, plan.base_recipe)
    parent = base if stack.base else ""
    for number, layer in enumerate(stack.layers, 1):
        argv: tuple[Word, ...] = (
            *BUILD,
            "--tag", Slot(name=slots.TAG),
            "--label", Slot(name=slots.PARENT_ID, before=f"{PARENT_LABEL}="),
            *_words(layer, stack.platform, Slot(name=parent, before=f"{SOURCE_ARGUMENT}=") if parent else None),
        )  # fmt: skip
        step = Step(
            id=f"{prefix}_{number}",
            kind=Kind.LAYER,
            explain=f"{layer.name}: {layer.summary}",
            argv=argv,
            inputs=(
                *((parent,) if parent else ()),
                *((NATIVE_BASE,) if layer.native_base else ()),
                *(foreign[image] for image in layer.foreign),
            ),
            lent=tuple((foreign[image], image.reference) for image in layer.foreign),
            output=layer.repository,
            key=layer.key,
        )
        parent = step.id
        yield step


def _words(layer: LayerBuild, platform: Platform, parent: Word | None) -> tuple[Word, ...]:
    """The arguments of a layer's build that say what it is built from."""
    source = f"{SOURCE_ARGUMENT}={parent}" if isinstance(parent, str) else parent
    arguments: list[Word] = [] if source is None else ["--build-arg", source]
    if layer.native_base:
        arguments += ["--build-arg", Slot(name=NATIVE_BASE, before=f"{NATIVE_ARGUMENT}=")]
    for name, value in layer.build_args.items():
        arguments += ["--build-arg", f"{name}={value}"]
    lent = (word for given in layer.lent for word in given.words)
    return ("--platform", str(platform), "--file", str(layer.dockerfile), *arguments, *lent, str(layer.context))


def _look(platform: Platform, top: str) -> Step:
    argv: tuple[Word, ...] = (
        DOCKER, "run", "--rm",
        "--network", "none",
        "--platform", str(platform),
        "--user", "0:0",
        "--entrypoint", "/bin/sh",
        Slot(name=top),
        "-c", CENSUS,
    )  # fmt: skip
    return Step(
        id="packages",
        kind=Kind.LOOK,
        explain="the rootfs's packages: no time in the image is later than the newest one's",
        argv=argv,
        inputs=(top,),
        output="their names and versions",
        key=key_of(argv),
    )


def image_key(steps: Steps, ids: Mapping[str, str], epoch: int) -> str:
    """What an image was made from: two that have the same are the same.

    `ids` has the image of every step that makes one.
    """
    inputs = (*steps.seal.inputs, *steps.generate.inputs)
    signed = (steps.sign.key,) if steps.sign is not None else ()
    keys = (steps.seal.key, steps.generate.key, *signed)
    return digest_of("image 2", *keys, str(epoch), *(ids[name] for name in inputs))
