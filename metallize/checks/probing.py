"""Pieces of probes that several kinds share: limits of time, and connections made by whatever a guest has.

A minimal Debian has bash and perl-base, a minimal Alpine neither; Python is nowhere sure. What a guest lacks is said
in the result, never taken for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SECONDS = "$(( ({milliseconds} * ${{METALLIZE_SLOWNESS:-1}} + 999) / 1000 ))"


def seconds(milliseconds: int) -> str:
    """Shell text: whole seconds, stretched by the factor that the harness exports for a slow guest."""
    return SECONDS.format(milliseconds=milliseconds)


def patience(milliseconds: int) -> str:
    """A line that keeps the harness from ending a probe whose own limit is longer than the usual one."""
    slack = 15_000
    return (
        f"""[ -z "${{METALLIZE_SCRATCH:-}}" ] || echo {seconds(milliseconds + slack)} >"$METALLIZE_SCRATCH/limit"\n"""
    )


def limited(milliseconds: int) -> str:
    """Shell text to put before a command: timeout(1), where the guest has it."""
    return f"$(command -v timeout >/dev/null && echo timeout {seconds(milliseconds)})"


def entries(database: str, names: Sequence[str]) -> str:
    """A snippet that looks up several names in passwd(5) or group(5), wherever nsswitch.conf(5) has them.

    It says nothing where only root may read them.
    """
    words = " ".join(names)
    return f"""[ -e /etc/{database} ] && ! [ -r /etc/{database} ] && exit
for n in {words}; do at "$n"; echo done; done
{{ getent {database} {words} || cat /etc/{database}; }} 2>/dev/null | while IFS= read -r l; do
  case " {words} " in *" ${{l%%:*}} "*) at "${{l%%:*}}"; echo "{database} $l" ;; esac
done
:"""


def split_host_port(text: str, default_port: str | None = None) -> tuple[str, str] | None:
    """`host:port`, `[v6]:port` or, with a default port, either without one; None for anything else."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.%a-z]+)\](?::([A-Za-z0-9-]+))?", text)
    if bracketed is not None:
        host, port = bracketed[1], bracketed[2] or default_port
    elif default_port is not None and text.count(":") > 1:
        host, port = text, default_port
    else:
        host, colon, port = text.partition(":")
        port = port if colon else default_port
    if not host or port is None or (re.fullmatch(r"[^\s\[\]/:\x00]+", host) is None and ":" not in host):
        return None
    if re.fullmatch(r"[A-Za-z0-9-]+", port) is None or (port.isdecimal() and not 1 <= int(port) <= 65535):  # noqa: PLR2004
        return None
    return host, port
