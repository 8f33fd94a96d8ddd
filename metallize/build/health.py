"""HEALTHCHECK: what it asks and how often, and the unit that asks it of an app that runs on an operating system.

Source: Dockerfile reference, HEALTHCHECK, with its defaults; systemd.service(5) and systemd.exec(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_FLAG = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S+)\s*")

GAVE_UP = 75
"""What the watchdog ends with when the app has to be started again; success to systemd."""

# $1 name, $2 start period, $3 interval, $4 time limit of one check, $5 retries, then the check: all times in seconds.
_LOOP = """\
name=$1 grace=$2 interval=$3 limit=$4 retries=$5
shift 5
begin=$(date +%s)
failed=0
while sleep "$interval"; do
  if said=$(timeout "$limit" "$@" 2>&1); then
    failed=0 grace=0
  elif [ $(($(date +%s) - begin)) -ge "$grace" ]; then
    failed=$((failed + 1))
    printf '%s is not healthy (%s of %s): %s\\n' "$name" "$failed" "$retries" "$said"
    [ "$failed" -lt "$retries" ] || exit GAVE_UP
  fi
done
""".replace("GAVE_UP", str(GAVE_UP))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One HEALTHCHECK as Docker reads it."""

    argv: tuple[str, ...]
    layer: str
    line: int
    interval: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=30)
    start_period: timedelta = timedelta()
    retries: int = 3


def health_of(rest: str, shell: Sequence[str], *, layer: str, line: int) -> Health | None:
    """What follows the word HEALTHCHECK; None for NONE, and for what Docker does not take."""
    flags: dict[str, str] = {}
    rest = rest.strip()
    while match := _FLAG.match(rest):
        flags[match["name"]] = match["value"]
        rest = rest[match.end() :]
    word, _, command = rest.partition(" ")
    command = command.strip()
    if word.upper() != "CMD" or not command:
        return None
    health = Health(argv=_argv(command, shell), layer=layer, line=line)
    return Health(
        argv=health.argv,
        layer=layer,
        line=line,
        interval=_duration(flags.get("interval")) or health.interval,  # zero means the default
        timeout=_duration(flags.get("timeout")) or health.timeout,
        start_period=_duration(flags.get("start-period")) or health.start_period,
        retries=int(flags["retries"]) if flags.get("retries", "").isdecimal() and int(flags["retries"]) else 3,
    )


def _argv(command: str, shell: Sequence[str]) -> tuple[str, ...]:
    try:
        words = json.loads(command)
    except ValueError:
        words = None
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return tuple(words)
    return (*shell, command)


def _duration(text: str | None) -> timedelta:
    """A duration as Go writes it, 1m30s; nothing where it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", text or "")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _seconds(time: timedelta) -> str:
    """Seconds for sleep(1) and timeout(1), at least one: an OS asks no app a thousand times a second."""
    return f"{max(1, round(time.total_seconds()))}"


def watch_argv(health: Health, app: str) -> tuple[str, ...]:
    """The command that asks again and again, and ends with GAVE_UP after too many failures in a row."""
    grace = str(round(health.start_period.total_seconds()))
    times = (grace, _seconds(health.interval), _seconds(health.timeout), str(health.retries))
    return ("/bin/sh", "-c", _LOOP, "sh", app, *times, *health.argv)


def watchdog_unit(app: str, run: Sequence[str], health: Health) -> str:
    """The unit beside `app`.service; `run` are its lines that run `watch_argv`, and say as whom.

    It is bound to the app: it comes up with it, and goes down with it. The check is asked as the app itself would ask,
    and only the starting again is done as root.
    """
    return "\n".join(
        (
            "[Unit]",
            f"Description=Health of {app} ({health.layer})".replace("%", "%%"),
            f"BindsTo={app}.service",
            f"After={app}.service",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            *run,
            f"SuccessExitStatus={GAVE_UP}",
            "Restart=on-failure",
            (
                f'ExecStopPost=+/bin/sh -c "[ \\"$$EXIT_STATUS\\" != {GAVE_UP} ] || '
                f'systemctl --no-block restart {app}.service"'
            ),
            f"SyslogIdentifier={app}-watchdog",
            "",
            "[Install]",
            f"WantedBy={app}.service",
            "",
        )
    )
