"""The systemd unit that runs, on an operating system, what the stacked layers would run as a container.

Sources: systemd.service(5), systemd.syntax(7), systemd.exec(5).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from metallize.build.container import AppLayer, Container, container_of
from metallize.build.health import Health, watch_argv, watchdog_unit
from metallize.build.plan import AppUnit
from metallize.model.profile import App, Platform

__all__ = ["CARRIED", "AppLayer", "Container", "NoUnit", "app_unit", "container_of", "quote", "without_unit"]

CARRIED = ("CMD", "ENTRYPOINT", "ENV", "USER", "WORKDIR", "STOPSIGNAL")
"""Instructions that the unit takes over; EXPOSE and VOLUME mean nothing to an OS, HEALTHCHECK where it is wanted."""
BY_NUMBER = (
    # What runc does for USER: the account's own group, groups and home where /etc/passwd knows it, else group 0 and /.
    "u=$1 g=$2; shift 2; h=/ own=0; "
    'if e=$(getent passwd "$u"); then h=${e%:*}; h=${h##*:}; own=${e#*:*:*:}; own=${own%%:*}; fi; '
    'export HOME="${HOME:-$h}"; '
    'if [ -z "$g" ] && [ -n "$e" ]; then exec setpriv --reuid="$u" --regid="$own" --init-groups -- "$@"; fi; '
    'exec setpriv --reuid="$u" --regid="${g:-$own}" --clear-groups -- "$@"'
)
"""systemd starts no unit whose user or group is a number that /etc/passwd or /etc/group lacks (217/USER, 216/GROUP)."""
_PLAIN = re.compile(r"[A-Za-z0-9_@./:=+,-]+")


def app_unit(layers: Iterable[AppLayer], platform: Platform, settings: App) -> AppUnit | None:
    """The unit that runs the stack's app, or None where it has none or the profile does not want it."""
    container = container_of(layers, platform)
    if not settings.enabled or not container.runs_an_app:
        return None
    name = settings.name or unit_name(container.layer)
    container = replace(container, environment={**container.environment, **settings.environment})
    watched = container.health if settings.watchdog else None
    return AppUnit(
        name=f"{name}.service",
        text=_unit(name, container, settings, watched),
        health=container.health,
        watchdog=_watchdog(name, container, watched) if watched else "",
        argv=container.argv,
        user=container.user or "root",
        directory=container.directory,
        restart=settings.restart,
        layer=container.layer,
        line=container.line,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoUnit:
    """A CMD or ENTRYPOINT that runs in no unit, and why."""

    layer: str
    line: int
    word: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.line}: {self.word} makes no unit: {self.reason}"


def without_unit(layers: Sequence[AppLayer], platform: Platform, settings: App) -> tuple[NoUnit, ...]:
    """Every CMD and ENTRYPOINT of the stack that the booted system will not run, so that none is dropped in silence."""
    container = container_of(layers, platform)
    idle = container.idle_because if settings.enabled else "the profile says `app: false`"
    found = []
    for layer in layers:
        for index, stage in enumerate(reversed(layer.dockerfile.stages)):
            for each in stage.instructions:
                if each.word not in ("CMD", "ENTRYPOINT"):
                    continue
                if (layer.name, each.line) in (container.command_at, container.entrypoint_at):
                    reason = idle
                elif index and not _stands_on(layer, stage.name):
                    reason = "it stands in a stage that the last one does not stand on"
                else:
                    reason = f"{container.layer}:{container.line} takes its place, as in a container"
                if reason:
                    found.append(NoUnit(layer=layer.name, line=each.line, word=each.word, reason=reason))
    return tuple(found)


def _stands_on(layer: AppLayer, name: str) -> bool:
    """Whether the last stage stands on the stage of that name, so that its CMD may still hold."""
    on = layer.dockerfile.stages[-1].image
    for stage in reversed(layer.dockerfile.stages[:-1]):
        if stage.name and stage.name == on:
            if stage.name == name:
                return True
            on = stage.image
    return False


# --- the unit --------------------------------------------------------------------------------------------------------


def unit_name(layer: str) -> str:
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


def _needs_numbers(user: str, group: str) -> bool:
    """Whether one of them is a number that may have no name; root's always has one."""
    return any(re.fullmatch("[0-9]+", word) and word.strip("0") for word in (user, group))


def _run(container: Container, argv: tuple[str, ...]) -> list[str]:
    """As whom, where and with which variables a program runs, as the app does."""
    if not argv[0].startswith("/"):
        # systemd looks for a program in folders of its own, and not in the app's PATH or WORKDIR
        argv = ("/usr/bin/env", *argv)
    user, _, group = (container.user or "root").partition(":")
    user = user or "root"
    who = [f"User={quote(user)}", *([f"Group={quote(group)}"] if group else [])]
    if _needs_numbers(user, group):
        who, argv = [], ("/bin/sh", "-c", BY_NUMBER, "sh", user, group, *argv)
    return [
        *who,
        f"WorkingDirectory={container.directory.replace('%', '%%')}",
        *(f"Environment={quote(f'{key}={value}')}" for key, value in sorted(container.environment.items())),
        f"ExecStart={' '.join(quote(word, command=True) for word in argv)}",
    ]


def _watchdog(name: str, container: Container, health: Health) -> str:
    return watchdog_unit(name, _run(container, watch_argv(health, name)), health)


def _unit(name: str, container: Container, settings: App, watched: Health | None) -> str:
    after = ("network.target", *settings.after)
    lines = [
        "[Unit]",
        f"Description={name} ({container.layer})".replace("%", "%%"),
        f"After={' '.join(after)}",
        *(f"Wants={unit}" for unit in settings.after),
        *([f"Wants={name}-watchdog.service"] if watched else []),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        *_run(container, container.argv),
        f"Restart={settings.restart}",
        f"RestartSec={settings.restart_delay.total_seconds():g}",
        *([f"KillSignal={container.stop_signal.upper()}"] if container.stop_signal else []),
        f"SyslogIdentifier={name}",
        "StandardOutput=journal",
        "StandardError=journal",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"
