"""Profile + catalogue -> BuildPlan. Pure: what was read from disk comes in as values, and nothing is run."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from metallize.build.app import AppLayer, app_unit, without_unit
from metallize.build.arguments import problems as argument_problems
from metallize.build.arguments import without_passwords
from metallize.build.base import snapshot
from metallize.build.base.bootstrap import distribution, supports
from metallize.build.dockerfile import Instruction, automatic_arguments
from metallize.build.plan import SOURCE_ARGUMENT, BaseImage, BuildPlan, ImageStack, Job, LayerBuild, Seal
from metallize.build.signing import Signing
from metallize.build.sources import TRUSTED, LayerSource, swallowing
from metallize.build.step import digest_of
from metallize.errors import Problem, ProfileError
from metallize.model.catalogue import Generator
from metallize.model.loaded import Profile
from metallize.model.profile import SUFFIX_FORMATS, Platform

TOOLS_BASE = "debian:trixie"
"""What the generators' own images stand on, whatever the profile's distribution is."""

_IDS = uuid.UUID("6d657461-6c6c-5a69-8a65-000000000001")


def plan(
    profile: Profile,
    *,
    generator: Generator,
    rootfs: Sequence[str | LayerSource],
    tools: Sequence[LayerSource],
    seal: LayerSource,
    native: LayerSource,
    base_recipe: Path,
    host_platform: Platform,
    build_dir: Path,
    mirrors: Mapping[str, str],
    signing: Signing | None = None,
) -> BuildPlan:
    """Decide everything about a build.

    `rootfs` has the profile's images in order, an image reference as a string; `tools` the generator's own
    stack; `native` is the layer that spares a foreign rootfs the emulation of the costliest tools; `mirrors` what is
    set of archives that keep old states; `signing` who signs. Raises ProfileError, with places, where layers do not
    stack, the generator does not fit, BuildKit would refuse, or no mirror is known for `base.snapshot`.
    """
    refused = [fault for part in rootfs if not isinstance(part, str) for fault in part.faults]
    problems = [*refused, *_misfits(profile, generator), *_unsupported(profile, rootfs)]
    lowest = rootfs[0] if isinstance(rootfs[0], str) else None
    problems += snapshot.problems(profile, lowest, mirrors)
    if not refused:  # else nobody knows what these dockerfiles declare, and what they stand on
        problems += [*_unstacked(profile, rootfs), *argument_problems(profile, rootfs, generator)]
    if problems:
        raise ProfileError(problems)
    arguments = {f"METALLIZE_{name.upper()}": value for name, value in profile.args.items()}
    arguments = without_passwords(arguments, rootfs, profile.name)
    ids = {role: str(uuid.uuid5(_IDS, f"{profile.name}/{role}")) for role in generator.ids}
    app = app_unit(_app_layers(rootfs, arguments), profile.platform, profile.output.app)
    if profile.output.app.watchdog and not (app and app.watchdog):
        message = "`watchdog` asks what HEALTHCHECK says, and " + ("no layer has one" if app else "no layer has a CMD")
        place = profile.location("output", "app", "watchdog")
        raise ProfileError([Problem(location=place, message=message, hint="write one into the layer, or leave it out")])
    job = Job(
        generator=generator.name,
        name=profile.name,
        platform=profile.platform,
        hostname=hostname_of(profile.name),
        format=SUFFIX_FORMATS[Path(profile.output.file).suffix],
        kernel_boot_params=" ".join(
            part for part in (fill(generator.kernel_boot_params, ids), profile.output.kernel_boot_params) if part
        ),
        options=generator.complete(_options(profile, generator)),
        ids=ids,
        units=app.units if app else {},
        release=profile.output.release_name if generator.versioned else "",
        version=(profile.output.version or "") if generator.versioned else "",
    )
    state = snapshot.State(snapshot=profile.base.snapshot or "", mirrors=mirrors)
    rootfs_stack = _stack(rootfs, arguments, profile.platform, host_platform, state)
    if _takes_native_tools(rootfs, profile.platform, host_platform):
        rootfs_stack = _with_native_tools(native, rootfs, arguments, profile.platform, host_platform, state)
    if lowest is None or distribution(lowest) != distribution(TOOLS_BASE):
        state = snapshot.State()  # the profile's date says nothing of another distribution
    tools_stack = _stack([TOOLS_BASE, *tools], {}, host_platform, host_platform, state)
    seal_step = Seal(
        dockerfile=seal.layer.path,
        context=seal.layer.context,
        fstab=fill(generator.fstab, ids).rstrip("\n"),
        key=seal.digest,
    )
    identity = digest_of(
        profile.platform,
        rootfs_stack.key,
        tools_stack.key,
        seal.digest,
        seal_step.fstab,
        json.dumps(job.as_json(), sort_keys=True),
        *((signing.certificate,) if signing is not None else ()),
    )
    return BuildPlan(
        id=identity,
        profile=profile.path,
        name=profile.name,
        rootfs=rootfs_stack,
        tools=tools_stack,
        seal=seal_step,
        job=job,
        app=app,
        build_dir=build_dir,
        file=profile.output.file,
        base_recipe=base_recipe,
        signing=signing,
        remarks=tuple(_remarks(rootfs, arguments, profile, build_dir)),
    )


def _remarks(
    rootfs: Sequence[str | LayerSource], arguments: Mapping[str, str], profile: Profile, build_dir: Path
) -> Iterator[str]:
    for part in rootfs:
        if isinstance(part, str):
            continue
        for each in part.dockerfile.cautions:
            yield f"{part.layer.name}:{each.line}: {each.message}{f' ({each.hint})' if each.hint else ''}."
        for path in part.trusted:
            yield f"{part.layer.name}: {path} has attributes `{TRUSTED}*`, which no image keeps: a unit can set them."
        if profile.base.snapshot:
            named = _foreign(part, arguments, profile.platform, profile.platform)
            for image in [each.reference for each in named if distribution(each.reference)]:
                yield (
                    f"{part.layer.name}: it takes from {image} as it is today, whatever base.snapshot says: stand the "
                    f"stage on ${{{SOURCE_ARGUMENT}}}, or give {image} a digest."
                )
        line = swallowing(part, build_dir.absolute())
        if line is not None:
            place = f"{part.layer.name}:{line}" if line else part.layer.name
            yield f"{place}: it takes {build_dir}, and is built anew each time for that: name it in .dockerignore."
    for dropped in without_unit(tuple(_app_layers(rootfs, arguments)), profile.platform, profile.output.app):
        if "as in a container" not in dropped.reason:
            yield f"{dropped.layer}:{dropped.line}: {dropped.word} makes no unit: {dropped.reason}."


def fat_id(identity: str) -> str:
    """A FAT volume id as blkid(8) and fstab(5) write it, from a UUID's first eight digits."""
    digits = identity.replace("-", "")[:8].upper()
    return f"{digits[:4]}-{digits[4:]}"


def fill(template: str, ids: Mapping[str, str]) -> str:
    """Put the ids of roles into a generator's template: {root_uuid} as it is, {esp_id} as a FAT volume id."""
    for role, identity in ids.items():
        template = template.replace(f"{{{role}_uuid}}", identity).replace(f"{{{role}_id}}", fat_id(identity))
    return template


def hostname_of(name: str) -> str:
    """The profile's name as a hostname (RFC 1123): letters, digits and hyphens, at most 63."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63].strip("-") or "metallize"


def _options(profile: Profile, generator: Generator) -> dict[str, str | int | float | bool]:
    """output.options, on top of those of `args` that the generator knows (the original format's `compression`)."""
    from_args: dict[str, str | int | float | bool] = {
        name: value for name, value in profile.args.items() if name == "compression" and name in generator.options
    }
    return {**from_args, **profile.output.options}


def _misfits(profile: Profile, generator: Generator) -> list[Problem]:
    if generator.versioned and profile.output.version is None:
        message = f"an image of generator {generator.name} holds its own version, and the profile gives none"
        hint = 'set output.version, as "1" or "20261130.1", and a higher one for each release'
        return [Problem(location=profile.location("output"), message=message, hint=hint)]
    if profile.platform in generator.platforms:
        return []
    known = ", ".join(generator.platforms)
    message = f"generator {generator.name} makes no image for {profile.platform}; it makes them for {known}"
    return [Problem(location=profile.location("platform"), message=message)]


def _unstacked(profile: Profile, rootfs: Sequence[str | LayerSource]) -> list[Problem]:
    problems = []
    for index, source in enumerate(rootfs):
        if isinstance(source, str):
            continue
        if index == 0:
            if source.dockerfile.needs_source:
                message = f"{source.layer.name} stands on the image below it, and there is none"
                hint = "begin `images` with a base image, such as debian:trixie"
                problems.append(Problem(location=profile.location("images", index), message=message, hint=hint))
            continue
        if source.dockerfile.builds_on_source:
            continue
        message = f"{source.layer.name} does not stand on the layers below it, so all they did would be lost"
        hint = f"start it with `ARG {SOURCE_ARGUMENT}` and `FROM ${{{SOURCE_ARGUMENT}}}`"
        problems.append(Problem(location=profile.location("images", index), message=message, hint=hint))
    return problems


def _unsupported(profile: Profile, rootfs: Sequence[str | LayerSource]) -> list[Problem]:
    """Layers that are made for other distributions than the one the stack begins with."""
    base = rootfs[0]
    return [
        Problem(
            location=profile.location("images", index),
            message=f"{source.layer.name} is made for {', '.join(source.layer.supports)}, "
            f"and the stack stands on {base}",
            hint="choose a layer for that distribution; `metallize list` names them",
        )
        for index, source in enumerate(rootfs)
        if not isinstance(source, str) and isinstance(base, str) and not supports(source.layer.supports, base)
    ]


def _stack(
    parts: Sequence[str | LayerSource],
    arguments: Mapping[str, str],
    platform: Platform,
    host: Platform,
    state: snapshot.State,
) -> ImageStack:
    base = state.of(BaseImage(reference=parts[0], platform=platform)) if isinstance(parts[0], str) else None
    layers = []
    automatic = automatic_arguments(platform, host)
    triggers: tuple[Instruction, ...] = ()
    for part in parts:
        if isinstance(part, str):
            continue
        declared = part.dockerfile.arguments
        given = {name: value for name, value in sorted(arguments.items()) if name in declared}
        layers.append(
            LayerBuild(
                name=part.layer.name,
                summary=part.layer.summary,
                dockerfile=part.layer.path,
                context=part.layer.context,
                build_args=given,
                repository=f"metallize/{_repository_name(part.layer.name)}",
                key=digest_of("layer 2", platform, part.layer.name, part.digest, json.dumps(given)),
                foreign=_foreign(part, given, platform, host),
                runtime_only=part.dockerfile.runtime_only,
                loans=part.dockerfile.loans(given, automatic, triggers),
            )
        )
        triggers = part.dockerfile.triggers
    ground = base
    if not isinstance(parts[0], str):
        lowest = layers[0]
        named = BaseImage(reference=parts[0].dockerfile.ground(lowest.build_args), platform=platform)
        ground = named if named in lowest.foreign else None
    return ImageStack(base=base, layers=tuple(layers), platform=platform, ground=ground)


def _foreign(
    source: LayerSource, arguments: Mapping[str, str], platform: Platform, host: Platform
) -> tuple[BaseImage, ...]:
    """The images of the platforms that we know, each once; one of another platform is BuildKit's own affair."""
    found = []
    for each in source.dockerfile.foreign_images(arguments, automatic_arguments(platform, host)):
        with suppress(ValueError):
            found.append(BaseImage(reference=each.reference, platform=Platform(each.platform or platform)))
    return tuple(dict.fromkeys(found))


def _takes_native_tools(rootfs: Sequence[str | LayerSource], platform: Platform, host: Platform) -> bool:
    """Whether the rootfs is emulated and its base is one whose tools the host's own edition of it has too."""
    first = rootfs[0]
    return platform is not host and isinstance(first, str) and distribution(first) is not None and len(rootfs) > 1


def _with_native_tools(
    native: LayerSource,
    rootfs: Sequence[str | LayerSource],
    arguments: Mapping[str, str],
    platform: Platform,
    host: Platform,
    state: snapshot.State,
) -> ImageStack:
    """The stack with the host's tools right above its base."""
    stack = _stack([rootfs[0], native, *rootfs[1:]], arguments, platform, host, state)
    assert stack.base is not None  # noqa: S101 - see _takes_native_tools
    return replace(stack, layers=(native_tools(native, stack.base, host), *stack.layers[1:]))


def native_tools(native: LayerSource, base: BaseImage, host: Platform) -> LayerBuild:
    """The layer with the building host's own tools, right above a base of another architecture."""
    [layer] = _stack([base.reference, native], {}, base.platform, host, snapshot.State()).layers
    return replace(layer, native_base=replace(base, platform=host))


def _app_layers(rootfs: Sequence[str | LayerSource], arguments: Mapping[str, str]) -> Iterator[AppLayer]:
    for part in rootfs:
        if not isinstance(part, str):
            declared = part.dockerfile.arguments
            given = {name: value for name, value in arguments.items() if name in declared}
            yield AppLayer(name=part.layer.name, dockerfile=part.dockerfile, build_args=given)


def _repository_name(layer: str) -> str:
    """A layer's name as a repository name (lower case, single separators)."""
    stem = layer.lower().removesuffix("/dockerfile").removesuffix(".dockerfile")
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "layer"
