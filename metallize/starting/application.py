"""An application's dockerfile as a layer: its stages as they are, but the last one stands on the layers below.

The dockerfile itself is not touched. What cannot be carried over is told, with its line.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.build.base.bootstrap import distribution
from metallize.build.container import AppLayer, Container, container_of
from metallize.build.dockerfile import SOURCE_ARGUMENT, Dockerfile, Stage, automatic_arguments, parse
from metallize.build.dockerfile.stages import lenient, outer_arguments, stages_of
from metallize.errors import UsageError
from metallize.model.profile import Platform
from metallize.starting.bases import Base, base_for, family_of

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S+)", re.IGNORECASE)
_AUTOMATIC = ("TARGET", "BUILD", "HTTP", "http", "NO_PROXY", "no_proxy", "SOURCE_DATE_EPOCH")
"""What BuildKit gives by itself begins with one of these."""
_OTHER_PACKAGES = re.compile(r"\b(apk|dnf|microdnf|yum|zypper|pacman)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What an application's dockerfile becomes."""

    base: Base
    dockerfile: str
    """The layer's text, without a header of ours."""
    directives: str
    """The lines that must come first: # syntax=, # escape=."""
    container: Container
    ports: tuple[int, ...]
    """TCP ports of EXPOSE."""
    takes_files: bool
    """Whether it reads anything from its build context."""
    notes: tuple[str, ...]


def read_application(
    path: Path, context: Path, *, layer: str, base: str | None, supported: tuple[str, ...]
) -> Application:
    """Read an application's dockerfile. Raises UsageError where no layer can be made of it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # /dev/zero has no end, and a pipe perhaps no writer
            raise UsageError(f"{path} is no file", hint="--dockerfile takes the app's Dockerfile")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no UTF-8 text", hint="name a dockerfile") from exc
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="--dockerfile takes the app's Dockerfile") from exc
    parsed = parse(text)
    if not parsed.stages:
        raise UsageError(f"{path} has no FROM", hint="is it a dockerfile?")
    if parsed.faults:
        wrong = parsed.faults[0]
        raise UsageError(f"{path}:{wrong.line}: {wrong.message}", hint=wrong.hint or "does Docker build it?")
    root = _root(path, parsed)
    image = _image(parsed, root)
    if not image and base is None:
        raise UsageError(
            f"{path}:{root.line}: `FROM {root.image}`: only a build argument names that image",
            hint="name what the operating system stands on: --base debian:trixie",
        )
    chosen = base_for(image, supported) if base is None else Base(reference=base, family=family_of(base))
    directives, rest = _changed(text, parsed, root)
    told = [
        *(
            f"{path.name}:{each.line}: {each.message}{f' ({each.hint})' if each.hint else ''}."
            for each in parsed.cautions
        ),
        *([f"{path.name}:{root.line}: {chosen.note}."] if chosen.note else []),
        *(f"{path.name}:{line}: {words}." for line, words in _losses(parsed, root, context, chosen)),
    ]
    container = container_of([AppLayer(name=layer, dockerfile=parse(directives + rest), build_args={})], Platform.AMD64)
    if container.health is not None and "{{" in f"{container.health.argv}{container.environment}":
        told.append(f"{path.name}:{container.health.line}: HEALTHCHECK holds {{{{, so it is asserted by nothing.")
        container = replace(container, health=None)
    if not container.runs_an_app:
        told.append(
            f"{path.name} has no CMD and no ENTRYPOINT of its own: no service is made, write one into the layer."
        )
    ports, odd = _ports(parsed, container.environment)
    told += [f"{path.name}:{line}: EXPOSE {text} is asserted by nothing." for line, text in odd]
    return Application(
        base=chosen,
        dockerfile=rest,
        directives=directives,
        container=container,
        ports=ports,
        takes_files=parsed.context_sources() is None or bool(parsed.context_sources()),
        notes=tuple(told),
    )


def _image(parsed: Dockerfile, stage: Stage) -> str:
    """The image that a stage stands on, its arguments replaced; empty where only a build's argument names one."""
    escape = parsed.reading.escape
    before, _ = stages_of(parsed.reading)
    platform = str(Platform.AMD64)
    return lenient(stage.image, outer_arguments(before, {}, escape, automatic_arguments(platform, platform)), escape)


def _root(path: Path, parsed: Dockerfile) -> Stage:
    """The stage at the bottom of the last one: where it stands on an image, and not on a stage."""
    root = parsed.stages[-1]
    for stage in reversed(parsed.stages[:-1]):
        if stage.name and stage.name == _image(parsed, root).lower():
            root = stage
    if SOURCE_ARGUMENT in root.image:
        raise UsageError(f"{path} is a layer already", hint="name it in a profile's `images`")
    return root


def _changed(text: str, parsed: Dockerfile, root: Stage) -> tuple[str, str]:
    """The directives, and the rest with the root's FROM standing on the layers below."""
    lines = text.splitlines(keepends=True)
    first = 0
    while first < len(lines) and _DIRECTIVE.match(lines[first]):
        first += 1
    [opening] = [each for each in parsed.instructions if each.line == root.line]
    start, end = opening.line - 1, max(opening.end, opening.line)
    name = f" AS {root.name}" if root.name else ""
    before = parsed.instructions[0].line - 1
    body = [
        *lines[first:before],
        f"ARG {SOURCE_ARGUMENT}\n",
        *lines[before:start],
        f"FROM ${{{SOURCE_ARGUMENT}}}{name}\n",
        *lines[end:],
    ]
    return "".join(lines[:first]), "".join(body).rstrip("\n") + "\n"


def _losses(parsed: Dockerfile, root: Stage, context: Path, base: Base) -> Iterator[tuple[int, str]]:
    """What a layer cannot do as the dockerfile says it."""
    if root.platform:
        yield root.line, f"--platform={root.platform} is left out: the profile's `platform` decides"
    names = {stage.name for stage in parsed.stages if stage.name}
    for stage in parsed.stages:
        image = _image(parsed, stage)
        if (
            stage.index != root.index
            and image.lower() not in names
            and image != "scratch"
            and distribution(image) is None
        ):
            yield stage.line, f"a registry has to give {image}, where Docker does not have it"
    outside = {name.partition("=")[0] for name in _outer_names(parsed)}
    for each in (each for stage in parsed.stages for each in stage.instructions if each.word == "ARG"):
        name = each.rest.strip()
        if "=" not in name and name not in outside and not name.startswith(_AUTOMATIC):
            words = "has no value: layers get METALLIZE_ arguments alone, so give it a default in the layer"
            yield each.line, f"ARG {name} {words}"
    ours = parsed.stages[root.index :] if base.foreign else ()
    for each in (each for stage in ours for each in stage.instructions if each.word == "RUN"):
        if tool := _OTHER_PACKAGES.search(each.rest):
            yield each.line, f"`{tool[1]}` is not there: the line has to use apt-get in the layer"
    yield from _missing(parsed, context)


def _missing(parsed: Dockerfile, context: Path) -> Iterator[tuple[int, str]]:
    """Files that it takes and that are not in the context."""
    for read in parsed.context_reads() or ():
        plain = read.pattern.strip().lstrip("/")
        if not re.search(r"[*?\[]", plain) and not (context / plain).exists():
            yield read.line, f"`{plain}` is not in {os.path.relpath(context)}: --context names the folder that holds it"


def _outer_names(parsed: Dockerfile) -> Iterator[str]:
    before, _ = stages_of(parsed.reading)
    yield from (each.rest.strip() for each in before if each.word == "ARG" and "=" in each.rest)


def _ports(parsed: Dockerfile, environment: Mapping[str, str]) -> tuple[tuple[int, ...], list[tuple[int, str]]]:
    """TCP ports of the last stage, and what is none."""
    ports: dict[int, None] = {}
    odd = []
    for each in parsed.stages[-1].instructions:
        if each.word != "EXPOSE":
            continue
        for word in lenient(each.rest, environment, parsed.reading.escape).split():
            match = re.fullmatch(r"(\d{1,5})(/tcp)?", word, re.ASCII | re.IGNORECASE)
            if match and 0 < int(match[1]) < 1 << 16:
                ports[int(match[1])] = None
            else:
                odd.append((each.line, word))
    return tuple(ports), odd
