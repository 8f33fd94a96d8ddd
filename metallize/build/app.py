"""What the stacked layers would run as a container, and the systemd unit that runs it on an operating system.

The dockerfiles themselves are read, and not the images that they make: the plan is printed before any image exists,
and what the base image brings (a shell, as a rule) is not the profile's app. Sources: Dockerfile reference
(Environment replacement; Understand how CMD and ENTRYPOINT interact), systemd.service(5), systemd.syntax(7).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metallize.build.dockerfile import Dockerfile, Instruction
from metallize.build.plan import AppUnit
from metallize.model.profile import App, Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What Docker sets where an image sets no PATH, and what Debian's and Ubuntu's images set."""
CARRIED = ("CMD", "ENTRYPOINT", "ENV", "USER", "WORKDIR", "STOPSIGNAL")
"""Instructions that the unit takes over; the others (EXPOSE, VOLUME, HEALTHCHECK) mean nothing to an OS."""
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "login"})
_INITS = frozenset({"init", "systemd"})
_SOURCE_IMAGE = "\0source"
_PLAIN = re.compile(r"[A-Za-z0-9_@./:=+,-]+")


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
    layer: str = ""
    """The layer that had the last word on what is run."""
    line: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.entrypoint, *self.command)

    @property
    def runs_an_app(self) -> bool:
        """Whether it runs something of its own: a bare shell waits for a person, and an init is the OS's."""
        if not self.argv:
            return False
        program, *rest = self.argv
        name = posixpath.basename(program)
        return not (name in _INITS or (name in _SHELLS and all(word.startswith("-") for word in rest)))


def container_of(layers: Iterable[AppLayer], platform: Platform) -> Container:
    """What Docker would run of the last layer, leaving out what the base image says."""
    container = Container()
    for layer in layers:
        container = _through(layer, container, platform)
    return container


def app_unit(layers: Iterable[AppLayer], platform: Platform, settings: App) -> AppUnit | None:
    """The unit that runs the stack's app, or None where it has none or the profile does not want it."""
    container = container_of(layers, platform)
    if not settings.enabled or not container.runs_an_app:
        return None
    name = settings.name or _unit_name(container.layer)
    container = replace(container, environment={**container.environment, **settings.environment})
    return AppUnit(
        name=f"{name}.service",
        text=_unit(name, container, settings),
        argv=container.argv,
        user=container.user or "root",
        directory=container.directory,
        restart=settings.restart,
        layer=container.layer,
        line=container.line,
    )


# --- the dockerfiles -------------------------------------------------------------------------------------------------


def _through(layer: AppLayer, below: Container, platform: Platform) -> Container:
    """The configuration after a layer's last stage."""
    architecture = platform.rpartition("/")[2]
    given = {
        "TARGETPLATFORM": str(platform),
        "TARGETOS": "linux",
        "TARGETARCH": architecture,
        **layer.build_args,
        "METALLIZE_SRC_IMG": _SOURCE_IMAGE,
    }
    stages: dict[str, Container] = {}
    outside: dict[str, str] = {}
    """ARGs before the first FROM, which a stage sees only where it names them again."""
    scope = outside
    current, name, command_is_ours = below, "", False
    for each in layer.dockerfile.instructions:
        if each.word == "FROM":
            words = [word for word in each.rest.split() if not word.startswith("--")]
            image = expand(words[0], outside) if words else ""
            current = below if image == _SOURCE_IMAGE else stages.get(image.lower(), Container())
            name = words[2].lower() if len(words) == 3 and words[1].upper() == "AS" else ""  # noqa: PLR2004 - FROM image AS name
            scope, command_is_ours = {}, False
        elif each.word == "ARG":
            for key, default in _pairs(each.rest, {**scope, **current.environment}, arguments=True):
                value = given.get(key, default if default is not None else outside.get(key))
                if value is not None:
                    scope[key] = value
        else:
            known = {"PATH": DEFAULT_PATH, **scope, **current.environment}
            current = _after(current, each, known, layer.name, keep_command=command_is_ours)
            command_is_ours |= each.word == "CMD"
        if name:
            stages[name] = current
    return current


def _after(
    current: Container, each: Instruction, known: Mapping[str, str], layer: str, *, keep_command: bool
) -> Container:
    """The configuration after one instruction; an ENTRYPOINT takes away the CMD of the layers below."""
    rest = each.rest.strip()
    changes: dict[str, Any] = {}
    match each.word:
        case "ENV":
            pairs = {key: value or "" for key, value in _pairs(each.rest, known)}
            changes = {"environment": {**current.environment, **pairs}}
        case "USER":
            changes = {"user": expand(rest, known)}
        case "WORKDIR":
            changes = {"directory": posixpath.normpath(posixpath.join(current.directory, expand(rest, known)))}
        case "STOPSIGNAL":
            changes = {"stop_signal": expand(rest, known)}
        case "SHELL":
            changes = {"shell": _json_words(rest) or current.shell}
        case "CMD":
            changes = {"command": _argv(rest, current.shell), "layer": layer, "line": each.line}
        case "ENTRYPOINT":
            kept = current.command if keep_command else ()
            changes = {"entrypoint": _argv(rest, current.shell), "command": kept, "layer": layer, "line": each.line}
    return replace(current, **changes)


def _argv(rest: str, shell: tuple[str, ...]) -> tuple[str, ...]:
    words = _json_words(rest)
    return words if words is not None else (*shell, rest)


def _json_words(rest: str) -> tuple[str, ...] | None:
    """The words of the exec form; None where it is none, as Docker then takes it for the shell form."""
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _pairs(rest: str, known: Mapping[str, str], *, arguments: bool = False) -> Iterator[tuple[str, str | None]]:
    """Names and expanded values of ENV and ARG; `ENV NAME the rest of the line` is the old form."""
    words = list(_split(rest))
    if words and "=" not in words[0] and not arguments:
        key, _, value = rest.strip().partition(" ")
        yield key, expand(value.strip(), known)
        return
    for word in words:
        key, equals, value = word.partition("=")
        yield expand(key, known), expand(value, known) if equals else None


def _split(text: str) -> Iterator[str]:
    """Words at unquoted blanks, their quotes and backslashes kept."""
    for match in re.finditer(r"(?:[^\s\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\"'\\])+", text, re.DOTALL):
        yield match[0]


_PART = re.compile(
    r"\\(?P<escaped>.)|'(?P<literal>[^']*)'|\"(?P<quoted>(?:[^\"\\]|\\.)*)\""
    r"|\$\{(?P<braced>\w+)(?:(?P<how>:?[-+])(?P<word>[^}]*))?\}|\$(?P<name>\w+)|(?P<char>.)",
    re.DOTALL,
)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Quotes taken off and variables replaced, as in ENV, USER and WORKDIR; an unknown variable is empty."""

    def part(match: re.Match[str]) -> str:
        if match["quoted"] is not None:
            return _PART.sub(quoted_part, match["quoted"])
        plain = match["escaped"] if match["literal"] is None else match["literal"]
        return _variable(match, known) if plain is None else plain

    def quoted_part(match: re.Match[str]) -> str:
        """Between double quotes a backslash keeps its meaning before `"`, `$` and itself alone."""
        if match["escaped"] is not None:
            return match["escaped"] if match["escaped"] in '"$\\' else match[0]
        return match[0] if match["literal"] is not None else _variable(match, known)

    return _PART.sub(part, text)


def _variable(match: re.Match[str], known: Mapping[str, str]) -> str:
    """The value of $name, ${name} or ${name:-word}; any other text as it is."""
    name = match["braced"] or match["name"]
    if name is None:
        return match[0]
    value, how = known.get(name), match["how"] or ""
    there = bool(value) if how.startswith(":") else value is not None
    if how.endswith("-") and not there:
        return expand(match["word"], known)
    if how.endswith("+"):
        return expand(match["word"], known) if there else ""
    return value or ""


# --- the unit --------------------------------------------------------------------------------------------------------


def _unit_name(layer: str) -> str:
    """A layer's name as a unit's: templogger.dockerfile -> templogger, templogger/Dockerfile -> templogger."""
    stem = re.sub(r"/?dockerfile$", "", layer.lower().removesuffix(".dockerfile"))
    return re.sub(r"[^a-z0-9]+", "-", posixpath.basename(stem)).strip("-") or "app"


def quote(word: str, *, command: bool = False) -> str:
    """A word for a unit file: specifiers, quotes and, in a command, variables lose their meaning."""
    text = word.replace("%", "%%")
    if command:
        text = text.replace("$", "$$")
    if _PLAIN.fullmatch(text):
        return text
    for char, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(char, escaped)
    return f'"{text}"'


def _unit(name: str, container: Container, settings: App) -> str:
    argv = container.argv
    if not argv[0].startswith("/"):
        # systemd looks for a program in folders of its own, and not in the app's PATH or WORKDIR
        argv = ("/usr/bin/env", *argv)
    user, _, group = (container.user or "root").partition(":")
    after = ("network.target", *settings.after)
    lines = [
        "[Unit]",
        f"Description={name} ({container.layer})".replace("%", "%%"),
        f"After={' '.join(after)}",
        *(f"Wants={unit}" for unit in settings.after),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"User={quote(user)}",
        *([f"Group={quote(group)}"] if group else []),
        f"WorkingDirectory={container.directory.replace('%', '%%')}",
        *(f"Environment={quote(f'{key}={value}')}" for key, value in sorted(container.environment.items())),
        f"ExecStart={' '.join(quote(word, command=True) for word in argv)}",
        f"Restart={settings.restart}",
        f"RestartSec={settings.restart_delay.total_seconds():g}",
        *([f"KillSignal={container.stop_signal}"] if container.stop_signal else []),
        f"SyslogIdentifier={name}",
        "StandardOutput=journal",
        "StandardError=journal",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"
