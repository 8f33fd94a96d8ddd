"""An application's dockerfile as a layer: its stages as they are, but the last one stands on the layers below.

The dockerfile itself is not touched. What cannot be carried over is told, with its line.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.build.app import AppLayer, Container, container_of, expand
from metallize.build.dockerfile import Dockerfile, Instruction, parse
from metallize.errors import UsageError
from metallize.model.profile import Platform
from metallize.starting.bases import Base, base_for, family_of

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S+)", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    image: str
    """As FROM names it, arguments replaced."""
    name: str
    instruction: Instruction


def read_application(
    path: Path, context: Path, *, layer: str, base: str | None, supported: tuple[str, ...]
) -> Application:
    """Read an application's dockerfile. Raises UsageError where no layer can be made of it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no UTF-8 text", hint="name a dockerfile") from exc
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="--dockerfile takes the app's Dockerfile") from exc
    parsed = parse(text)
    stages = list(_stages(path, parsed))
    if not stages:
        raise UsageError(f"{path} has no FROM", hint="is it a dockerfile?")
    root = _root(path, stages)
    if not root.image and base is None:
        raise UsageError(
            f"{path}:{root.instruction.line}: `{root.instruction.text}`: only a build argument names that image",
            hint="name what the operating system stands on: --base debian:trixie",
        )
    chosen = base_for(root.image, supported) if base is None else Base(reference=base, family=family_of(base))
    directives, rest = _changed(text, parsed, root)
    told = [
        *([f"{path.name}:{root.instruction.line}: {chosen.note}."] if chosen.note else []),
        *(f"{path.name}:{line}: {words}." for line, words in _losses(parsed, stages, root, context, chosen)),
    ]
    container = container_of([AppLayer(name=layer, dockerfile=parse(directives + rest), build_args={})], Platform.AMD64)
    if container.health is not None and "{{" in f"{container.health.argv}{container.environment}":
        told.append(f"{path.name}:{container.health.line}: HEALTHCHECK holds {{{{, so it is asserted by nothing.")
        container = replace(container, health=None)
    if not container.runs_an_app:
        told.append(
            f"{path.name} has no CMD and no ENTRYPOINT of its own: no service is made, write one into the layer."
        )
    ports, odd = _ports(parsed, stages[-1], container.environment)
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


def _stages(path: Path, parsed: Dockerfile) -> Iterator[_Stage]:
    known: dict[str, str] = {"TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64", "TARGETOS": "linux"}
    seen = False
    for each in parsed.instructions:
        if each.word == "ARG" and not seen:
            known |= _arguments(path, each, known)
        if each.word != "FROM":
            continue
        seen = True
        words = [word for word in each.rest.split() if not word.startswith("--")]
        image = expand(words[0], known) if words else ""
        name = words[2].lower() if len(words) == 3 and words[1].upper() == "AS" else ""  # noqa: PLR2004 - FROM image AS name
        yield _Stage(image=image, name=name, instruction=each)


def _arguments(path: Path, each: Instruction, known: Mapping[str, str]) -> dict[str, str]:
    try:
        words = shlex.split(each.rest)
    except ValueError as exc:
        raise UsageError(
            f"{path}:{each.line}: `{each.text}` cannot be read: {exc}", hint="does Docker build it?"
        ) from exc
    return {name: expand(value, known) for name, equals, value in (word.partition("=") for word in words) if equals}


def _root(path: Path, stages: list[_Stage]) -> _Stage:
    """The stage at the bottom of the last one: where it stands on an image, and not on a stage."""
    at = len(stages) - 1
    while True:
        below = [n for n in range(at) if stages[n].name and stages[n].name == stages[at].image.lower()]
        if not below:
            break
        at = below[-1]
    if "METALLIZE_SRC_IMG" in stages[at].instruction.rest:
        raise UsageError(f"{path} is a layer already", hint="name it in a profile's `images`")
    return stages[at]


def _changed(text: str, parsed: Dockerfile, root: _Stage) -> tuple[str, str]:
    """The directives, and the rest with the root's FROM standing on the layers below."""
    lines = text.splitlines(keepends=True)
    escape, first = "\\", 0
    while first < len(lines) and (match := _DIRECTIVE.match(lines[first])):
        escape = match[2] if match[1].lower() == "escape" else escape
        first += 1
    start = root.instruction.line - 1
    end = start + 1
    while end < len(lines) and lines[end - 1].rstrip().endswith(escape):
        end += 1
    name = f" AS {root.name}" if root.name else ""
    before = next(each.line for each in parsed.instructions) - 1
    body = [
        *lines[first:before],
        "ARG METALLIZE_SRC_IMG\n",
        *lines[before:start],
        f"FROM ${{METALLIZE_SRC_IMG}}{name}\n",
        *lines[end:],
    ]
    return "".join(lines[:first]), "".join(body).rstrip("\n") + "\n"


def _losses(
    parsed: Dockerfile, stages: list[_Stage], root: _Stage, context: Path, base: Base
) -> Iterator[tuple[int, str]]:
    """What a layer cannot do as the dockerfile says it."""
    if platform := re.search(r"--platform=(\S+)", root.instruction.rest):
        yield root.instruction.line, f"--platform={platform[1]} is left out: the profile's `platform` decides"
    names = {stage.name for stage in stages if stage.name}
    for stage in stages:
        if stage is not root and stage.image and stage.image.lower() not in names and stage.image != "scratch":
            yield stage.instruction.line, f"a registry has to give {stage.image}, where Docker does not have it"
    begun = False
    for each in parsed.instructions:
        begun |= each is root.instruction
        if each.word == "ARG" and "=" not in each.rest and each.line > stages[0].instruction.line:
            outside = any(
                other.word == "ARG" and other.line < stages[0].instruction.line
                and other.rest.startswith(f"{each.rest.strip()}=")
                for other in parsed.instructions
            )  # fmt: skip
            if not outside and not each.rest.strip().startswith(("TARGET", "BUILD")):
                words = "has no value: layers get METALLIZE_ arguments alone, so give it a default in the layer"
                yield each.line, f"ARG {each.rest.strip()} {words}"
        if begun and base.foreign and each.word == "RUN" and (tool := _OTHER_PACKAGES.search(each.rest)):
            yield each.line, f"`{tool[1]}` is not there: the line has to use apt-get in the layer"
    for source in parsed.context_sources() or ():
        plain = source.strip().lstrip("/")
        if not re.search(r"[*?\[]", plain) and not (context / plain).exists():
            line = next((each.line for each in parsed.instructions if source in each.rest), 1)
            yield line, f"`{source}` is not in {os.path.relpath(context)}: --context names the folder that holds it"


def _ports(
    parsed: Dockerfile, last: _Stage, environment: Mapping[str, str]
) -> tuple[tuple[int, ...], list[tuple[int, str]]]:
    """TCP ports of the last stage, and what is none."""
    ports: dict[int, None] = {}
    odd = []
    for each in parsed.instructions:
        if each.word != "EXPOSE" or each.line < last.instruction.line:
            continue
        for word in expand(each.rest, environment).split():
            match = re.fullmatch(r"(\d{1,5})(/tcp)?", word, re.ASCII | re.IGNORECASE)
            if match and 0 < int(match[1]) < 1 << 16:
                ports[int(match[1])] = None
            else:
                odd.append((each.line, word))
    return tuple(ports), odd
