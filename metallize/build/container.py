"""What the stacked layers would run as a container: the configuration that their dockerfiles leave.

The dockerfiles themselves are read, and not the images that they make: the plan is printed before any image exists,
and what the base image brings (a shell, as a rule) is not the profile's app. Sources: Dockerfile reference
(Environment replacement; Understand how CMD and ENTRYPOINT interact).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metallize.build.dockerfile import SOURCE_ARGUMENT, Dockerfile, Instruction, automatic_arguments
from metallize.build.dockerfile.grammar import pairs
from metallize.build.dockerfile.lines import triggered
from metallize.build.dockerfile.stages import lenient, outer_arguments, stages_of
from metallize.build.dockerfile.words import WordError, json_words
from metallize.build.health import Health, health_of
from metallize.model.profile import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What Docker sets where an image sets no PATH, and what Debian's and Ubuntu's images set."""
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "login"})
_INITS = frozenset({"init", "systemd"})
_SOURCE_IMAGE = "\0source"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLayer:
    """One layer of the stack: its dockerfile and the build arguments that it is given."""

    name: str
    dockerfile: Dockerfile
    build_args: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's configuration as the layers so far leave it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    directory: str = "/"
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stop_signal: str = ""
    health: Health | None = None
    layer: str = ""
    """The layer that had the last word on what is run."""
    line: int = 0
    command_at: tuple[str, int] | None = None
    """Layer and line of the CMD that holds."""
    entrypoint_at: tuple[str, int] | None = None
    triggers: tuple[Instruction, ...] = ()
    """What ONBUILD has the next stage, or the next layer, begin with."""

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.entrypoint, *self.command)

    @property
    def runs_an_app(self) -> bool:
        """Whether it runs something of its own."""
        return bool(self.argv) and not self.idle_because

    @property
    def idle_because(self) -> str | None:
        """Why what it would run makes no unit; None where it makes one, or where nobody asked for any."""
        if not self.argv:
            return "nothing is left to run" if self.layer else None
        program, *rest = self.argv
        name = posixpath.basename(program)
        if name in _INITS:
            return "an init is the operating system's own"
        if name in _SHELLS and all(word.startswith("-") for word in rest):
            return "a bare shell waits for a person"
        if not program or (name in _SHELLS and rest[:1] == ["-c"] and not "".join(rest[1:2]).strip()):
            return "its command is empty"
        return None


def container_of(layers: Iterable[AppLayer], platform: Platform) -> Container:
    """What Docker would run of the last layer, leaving out what the base image says."""
    container = Container()
    for layer in layers:
        container = _through(layer, container, platform)
    return container


def _through(layer: AppLayer, below: Container, platform: Platform) -> Container:
    """The configuration after a layer's last stage."""
    reading = layer.dockerfile.reading
    escape = reading.escape
    # The host's own side says nothing of what runs in the image, and a profile is the same on every host.
    automatic = automatic_arguments(str(platform), str(platform))
    given = {**layer.build_args, SOURCE_ARGUMENT: _SOURCE_IMAGE}
    before, stages = stages_of(reading)
    outside = outer_arguments(before, given, escape, automatic)
    done: dict[str, tuple[Container, dict[str, str]]] = {}
    current, known = below, {"PATH": DEFAULT_PATH, **below.environment}
    for stage in stages:
        image = lenient(stage.image, outside, escape)
        if image in done:
            current, known = done[image]
            known = dict(known)
        else:
            current = below if image == _SOURCE_IMAGE else Container()
            known = {"PATH": DEFAULT_PATH, **current.environment}
        triggers, current = current.triggers, replace(current, triggers=())
        command_is_ours = False
        for each in (*(replace(trigger, line=stage.line) for trigger in triggers), *stage.instructions):
            if each.word == "ARG":
                known |= _declared(each, known, outside, given, escape)
                continue
            named = [lenient(key, known, escape) for key, _ in pairs(each, escape)] if each.word == "ENV" else []
            current = _after(current, each, known, layer.name, escape, keep_command=command_is_ours)
            known |= {key: current.environment[key] for key in named}
            command_is_ours |= each.word == "CMD"
        if stage.name:
            done[stage.name] = (current, known)
    return current


def _declared(
    each: Instruction, known: Mapping[str, str], outside: Mapping[str, str], given: Mapping[str, str], escape: str
) -> dict[str, str]:
    """The values of one ARG: the build's, else its own, else that of an ARG before the first FROM."""
    found: dict[str, str] = {}
    for name, default in pairs(each, escape):
        key = lenient(name, {**known, **found}, escape)
        if key in given:
            found[key] = given[key]
        elif default is not None:
            found[key] = lenient(default, {**known, **found}, escape)
        elif key in outside:
            found[key] = outside[key]
    return found


def _after(  # noqa: C901 - a row for each word
    current: Container, each: Instruction, known: Mapping[str, str], layer: str, escape: str, *, keep_command: bool
) -> Container:
    """The configuration after one instruction; an ENTRYPOINT takes away the CMD of the layers below."""
    rest = each.arguments
    changes: dict[str, Any] = {}
    match each.word:
        case "ENV":
            new = {
                lenient(key, known, escape): lenient(value or "", known, escape) for key, value in pairs(each, escape)
            }
            changes = {"environment": {**current.environment, **new}}
        case "USER":
            changes = {"user": lenient(rest, known, escape)}
        case "WORKDIR":
            path = posixpath.join(current.directory, lenient(rest, known, escape))
            changes = {"directory": posixpath.normpath(path).replace("//", "/")}
        case "STOPSIGNAL":
            changes = {"stop_signal": lenient(rest, known, escape)}
        case "SHELL":
            changes = {"shell": _exec_form(rest) or current.shell}
        case "HEALTHCHECK":
            changes = {"health": health_of(each.rest, current.shell, layer=layer, line=each.line)}
        case "CMD":
            changes = {"command": _argv(rest, current.shell), "command_at": (layer, each.line)}
        case "ENTRYPOINT":
            kept = (current.command, current.command_at) if keep_command else ((), None)
            changes = {"entrypoint": _argv(rest, current.shell), "entrypoint_at": (layer, each.line)}
            changes |= {"command": kept[0], "command_at": kept[1]}
        case "ONBUILD":
            changes = {"triggers": (*current.triggers, triggered(each, escape))}
    if each.word in ("CMD", "ENTRYPOINT"):
        changes |= {"layer": layer, "line": each.line}
    return replace(current, **changes)


def _argv(rest: str, shell: tuple[str, ...]) -> tuple[str, ...]:
    words = _exec_form(rest)
    return words if words is not None else (*shell, rest)


def _exec_form(rest: str) -> tuple[str, ...] | None:
    """The words of a JSON array; one that BuildKit refuses (see Dockerfile.faults) has none."""
    try:
        return json_words(rest)
    except WordError:
        return ()
