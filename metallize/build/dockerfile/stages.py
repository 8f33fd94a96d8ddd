"""The stages of a dockerfile: what each stands on, which of them the last one needs, and the images from elsewhere.

Source: Dockerfile reference (FROM; Understand how ARG and FROM interact; COPY --from; RUN --mount).
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from metallize.build.dockerfile.grammar import pairs
from metallize.build.dockerfile.lines import Instruction, Reading, Remark, triggered
from metallize.build.dockerfile.words import WordError, expand

SCRATCH = "scratch"
COMMON_IMAGES = frozenset(
    {
        "alpine",
        "busybox",
        "caddy",
        "composer",
        "debian",
        "docker",
        "fedora",
        "golang",
        "gradle",
        "haproxy",
        "httpd",
        "mariadb",
        "maven",
        "memcached",
        "mongo",
        "mysql",
        "nginx",
        "node",
        "openjdk",
        "php",
        "postgres",
        "python",
        "redis",
        "registry",
        "ruby",
        "rust",
        "traefik",
        "ubuntu",
    }
)
"""Images that people copy from by their bare name, however near to a stage's it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and what follows it."""

    index: int
    image: str
    """As it is written: a stage's name, a reference, or a variable."""
    name: str
    """In small letters; empty where it has none."""
    platform: str
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignImage:
    """An image that a build takes from elsewhere: by FROM, COPY --from or RUN --mount=from."""

    reference: str
    line: int
    by: str
    """FROM, COPY or RUN."""
    platform: str
    """As --platform says; empty for the platform of the build."""


def stages_of(reading: Reading) -> tuple[tuple[Instruction, ...], tuple[Stage, ...]]:
    """What stands before the first FROM, and the stages."""
    starts = [index for index, each in enumerate(reading.instructions) if each.word == "FROM"]
    found = []
    for index, (start, end) in enumerate(pairwise([*starts, len(reading.instructions)])):
        opening = reading.instructions[start]
        words = opening.arguments.split()
        named = len(words) == 3 and words[1].upper() == "AS"  # noqa: PLR2004 - IMAGE AS NAME
        found.append(
            Stage(
                index=index,
                image=words[0] if words else "",
                name=words[2].lower() if named else "",
                platform=opening.flag("platform") or "",
                line=opening.line,
                instructions=reading.instructions[start + 1 : end],
            )
        )
    return reading.instructions[: starts[0]] if starts else reading.instructions, tuple(found)


def outer_arguments(
    before: Sequence[Instruction], given: Mapping[str, str], escape: str, automatic: Mapping[str, str]
) -> dict[str, str]:
    """The ARGs before the first FROM, which FROM sees, and the automatic ones (TARGETARCH and its like)."""
    known = dict(automatic)
    for each in before:
        if each.word != "ARG":
            continue
        for key, default in pairs(each, escape):
            value = given.get(key, default)
            if value is not None:
                known[key] = given[key] if key in given else lenient(value, known, escape)
    return known


def lenient(text: str, known: Mapping[str, str], escape: str) -> str:
    """The text expanded, or as it stands where BuildKit will refuse it."""
    try:
        return expand(text, known, escape=escape)
    except WordError:
        return text


def foreign_images(
    reading: Reading, given: Mapping[str, str], automatic: Mapping[str, str], ours: Mapping[str, str]
) -> tuple[ForeignImage, ...]:
    """The images that the last stage needs and no stage makes, without `scratch` and without what `ours` stands for."""
    before, stages = stages_of(reading)
    known = outer_arguments(before, {**given, **ours}, reading.escape, automatic)
    found: list[ForeignImage] = []
    for stage in needed(reading, known):
        image = lenient(stage.image, known, reading.escape)
        made_here = _index(image, stages[: stage.index]) is not None
        if not made_here and image and image.lower() != SCRATCH and image not in ours.values():
            platform = lenient(stage.platform, known, reading.escape)
            found.append(ForeignImage(reference=image, line=stage.line, by="FROM", platform=platform))
        for each, source in sources(stage, reading.escape):
            made_here = _source_index(source, each, stages) is not None
            if not made_here and source and source.lower() != SCRATCH and not source.isdecimal() and "$" not in source:
                found.append(ForeignImage(reference=source, line=each.line, by=each.word, platform=""))
    return tuple(sorted(found, key=lambda image: image.line))


def needed(reading: Reading, known: Mapping[str, str]) -> tuple[Stage, ...]:
    """The stages that BuildKit builds for the last one, that one first; `known` as of outer_arguments."""
    _, stages = stages_of(reading)
    wanted = {len(stages) - 1}
    found = []
    for stage in reversed(stages):  # a stage stands on those before it alone
        if stage.index not in wanted:
            continue
        found.append(stage)
        below = _index(lenient(stage.image, known, reading.escape), stages[: stage.index])
        taken = (_source_index(source, each, stages) for each, source in sources(stage, reading.escape))
        wanted.update(index for index in (below, *taken) if index is not None)
    return tuple(found)


def sources(stage: Stage, escape: str) -> Iterator[tuple[Instruction, str]]:
    """Each COPY --from and RUN --mount=from of a stage, and what it names."""
    for outer in stage.instructions:
        each = triggered(outer, escape) if outer.word == "ONBUILD" else outer
        if each.word == "COPY" and (source := each.flag("from")):
            yield each, source
        for mount in mounts(each):
            if "from" in mount:
                yield each, mount["from"]


def mounts(each: Instruction) -> Iterator[dict[str, str]]:
    """The options of each RUN --mount; a key with no value is empty."""
    if each.word != "RUN":
        return
    for flag in each.flags:
        name, _, value = flag.partition("=")
        if name == "--mount":
            fields = next(csv.reader([value]), [])
            yield {key.lower(): text for key, _, text in (part.partition("=") for part in fields)}


def _index(name: str, stages: Sequence[Stage]) -> int | None:
    """The last stage of that name."""
    return next((stage.index for stage in reversed(stages) if stage.name and stage.name == name), None)


def _source_index(source: str, each: Instruction, stages: Sequence[Stage]) -> int | None:
    if each.word == "COPY" and source.isdecimal():
        return int(source) if len(source) < 9 and int(source) < len(stages) else None  # noqa: PLR2004 - digits
    return _index(source.lower(), stages)


def faults(reading: Reading) -> Iterator[Remark]:
    """Stages that are named and do not exist, or exist only further down."""
    _, stages = stages_of(reading)
    names = [stage.name for stage in stages if stage.name]
    before, _ = stages_of(reading)
    declared = {key for each in before if each.word == "ARG" for key, _ in pairs(each, reading.escape)}
    for stage in stages:
        named = re.fullmatch(r"\$\{?(\w+)\}?", stage.image)
        if named and named[1] not in declared and not re.match("(TARGET|BUILD)[A-Z]+$", named[1]):
            hint = f"write `ARG {named[1]}` above the first FROM"
            yield Remark(line=stage.line, message=f"no ARG before the first FROM declares {named[1]}", hint=hint)
        if stage.image != stage.image.lower() and stage.image.lower() in names and "$" not in stage.image:
            hint = f"write `FROM {stage.image.lower()}`"
            yield Remark(line=stage.line, message=f"FROM finds stages in small letters: {stage.image}", hint=hint)
        for each, source in sources(stage, reading.escape):
            fault = _source_fault(each, source, stage, stages, names)
            if fault:
                yield Remark(line=each.line, message=fault[0], hint=fault[1])


def _source_fault(  # noqa: PLR0911 - one for each mistake
    each: Instruction, source: str, stage: Stage, stages: Sequence[Stage], names: Sequence[str]
) -> tuple[str, str | None] | None:
    """What is wrong with --from=source, and what to do."""
    what = f"{each.word} --from={source}" if each.word == "COPY" else f"{each.word} --mount=from={source}"
    if "$" in source:
        return f"{what}: variables are not replaced there", "give the image a stage of its own: FROM ${...} AS name"
    index = _source_index(source, each, stages)
    if index is not None:
        if index == stage.index:
            return f"{what} is the stage that it stands in", None
        if index > stage.index:
            return f"{what}: that stage begins only in line {stages[index].line}", "move it above this one"
        return None
    if each.word == "COPY" and source.isdecimal():
        return f"{what}: there is no stage of that number; they are counted from 0", None
    near = difflib.get_close_matches(source.lower(), names, n=1, cutoff=0.75)
    if not near or set(source) & set(":/@.") or source in COMMON_IMAGES:
        return None  # an image, then
    return (
        f"{what}: there is no stage `{source}`",
        f"did you mean `{near[0]}`? An image of that name is written with its tag: {source}:latest",
    )
