"""The steps of a plan, in their order: every command that a build runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from metallize.build.engines import rootfs_pipe
from metallize.build.packages.census import SCRIPT as CENSUS
from metallize.build.plan import (
    BASE_ARGUMENT,
    NATIVE_ARGUMENT,
    PARENT_LABEL,
    SOURCE_ARGUMENT,
    TOOLS_ARGUMENT,
    BaseImage,
    BuildPlan,
    ImageStack,
    LayerBuild,
    Seal,
)
from metallize.build.step import DOCKER, Kind, Slot, Step, Word, digest_of, key_of
from metallize.model.profile import Platform

RUN_LABEL, BUILDER_LABEL = "io.metallize.run", "io.metallize.builder"
"""On a generator's container, a sealed rootfs and its container: the name of the build's folder; the process that it
works for (engines/orphans.py)."""
LIMITS = (
    "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp",  # noqa: S108 - the container's own
)  # fmt: skip
"""A generator has no network, no capability, and nothing to write to but /out and /tmp."""
GENERATOR = "/generator/build"
"""The program of the tools' image that makes the image."""
LABEL, BUILDER, MOUNTED = "label", "builder", "work_csv"
"""The name of the build's folder; the folder as a field of a CSV record (docker-run(1), --mount)."""
SEALED, SEALED_DIGITS = "sealed", 16
"""What tells the sealed rootfs of this build from others: so many digits of the SHA-256 of the folder's path."""
SEALED_IMAGE, SEALED_CONTAINER = "metallize/sealed", "metallize-sealed"
"""The repository of the sealed rootfs's image, and what its container's name begins with."""
COMPARED, NOTHING = "compared", "scratch"
"""What the seal compares the rootfs with: its ground, or nothing where ONBUILD instructions would run once more."""
BASE, TOOLS_BASE, NATIVE_BASE = "base", "tools_base", "native_base"
_BUILD: tuple[Word, ...] = (DOCKER, "build", "--progress", "plain")


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
    ground: str
    """The step whose image the lowest layer stands on; empty where that is not known."""

    def __iter__(self) -> Iterator[Step]:
        yield from (*self.rootfs, *self.tools, self.look, self.seal, self.hold, self.export, self.generate)


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
    return Steps(
        rootfs=rootfs,
        tools=tools,
        look=_look(plan.rootfs.platform, top),
        seal=_seal(plan.seal, plan.rootfs.platform, top, tools[-1].id, Slot(name=COMPARED) if compared else NOTHING),
        hold=_hold(plan.rootfs.platform),
        export=_export(),
        generate=_generate(plan, tools[-1].id),
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
            *_BUILD,
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
            *_BUILD,
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
            *_BUILD,
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


def _labels() -> tuple[Word, ...]:
    """What says of an image or a container whose it is."""
    return (
        "--label", Slot(name=LABEL, before=f"{RUN_LABEL}="),
        "--label", Slot(name=BUILDER, before=f"{BUILDER_LABEL}="),
    )  # fmt: skip


def _seal(seal: Seal, platform: Platform, top: str, tools: str, compared: Word) -> Step:
    base = f"{BASE_ARGUMENT}={compared}" if isinstance(compared, str) else replace(compared, before=f"{BASE_ARGUMENT}=")
    argv: tuple[Word, ...] = (
        *_BUILD,
        "--platform", str(platform),
        "--file", str(seal.dockerfile),
        "--build-arg", Slot(name=top, before=f"{SOURCE_ARGUMENT}="),
        "--build-arg", Slot(name=tools, before=f"{TOOLS_ARGUMENT}="),
        "--build-arg", base,
        "--build-arg", f"METALLIZE_FSTAB={seal.fstab}",
        *_labels(),
        "--tag", Slot(name=SEALED, before=f"{SEALED_IMAGE}:"),
        str(seal.context),
    )  # fmt: skip
    return Step(
        id="seal",
        kind=Kind.SEAL,
        explain="fstab, the initrd, and what makes a container's rootfs an OS",
        argv=argv,
        inputs=(top, tools),
        output=SEALED_IMAGE,
        key=digest_of(seal.key, str(platform), seal.fstab),
    )


def _hold(platform: Platform) -> Step:
    argv: tuple[Word, ...] = (
        DOCKER, "create",
        *_labels(),
        "--name", Slot(name=SEALED, before=f"{SEALED_CONTAINER}-"),
        "--network", "none",
        "--platform", str(platform),
        Slot(name=SEALED, before=f"{SEALED_IMAGE}:"),
        "/nothing",
    )  # fmt: skip
    return Step(
        id="hold",
        kind=Kind.HOLD,
        explain="a container of the sealed rootfs, which is never started",
        argv=argv,
        inputs=("seal",),
        output=SEALED_CONTAINER,
        key=key_of(argv),
    )


def _export() -> Step:
    # A tar from BuildKit comes through the client's session, which takes twice as long.
    argv: tuple[Word, ...] = (DOCKER, "export", Slot(name=SEALED, before=f"{SEALED_CONTAINER}-"))
    return Step(
        id="export",
        kind=Kind.EXPORT,
        explain="the rootfs goes into a pipe as a tar",
        argv=argv,
        inputs=("hold",),
        output=rootfs_pipe.NAME,
        key=key_of(argv),
    )


def _generate(plan: BuildPlan, tools: str) -> Step:
    job = json.dumps(plan.job.as_json(), sort_keys=True)
    argv: tuple[Word, ...] = (
        DOCKER, "run", "--rm",
        *_labels(),
        *LIMITS,
        "--user", Slot(name=slots.USER),
        "--env", Slot(name=slots.EPOCH, before="SOURCE_DATE_EPOCH="),
        "--mount", Slot(name=MOUNTED, before='type=bind,target=/out,"source=', after='"'),
        Slot(name=tools),
        *rootfs_pipe.READER,
        GENERATOR, job,
    )  # fmt: skip
    return Step(
        id="generate",
        kind=Kind.GENERATE,
        explain=f"generator {plan.job.generator} makes the image of the rootfs that comes through the pipe",
        argv=argv,
        inputs=(tools,),
        output="image",
        key=key_of(argv),
    )


def image_key(steps: Steps, ids: Mapping[str, str], epoch: int) -> str:
    """What an image was made from: two that have the same are the same.

    `ids` has the image of every step that makes one.
    """
    inputs = (*steps.seal.inputs, *steps.generate.inputs)
    return digest_of("image 2", steps.seal.key, steps.generate.key, str(epoch), *(ids[name] for name in inputs))
