"""Generators' containers whose builder is gone: found by their label, from any build and wherever theirs was.

A builder that is killed (kill -9, out of memory) ends nothing: the engine goes on running its container. So each
container says whose it is, and whoever comes next looks whether that process still lives. A process's number comes
again, its number and start together do not, until the host is booted anew (proc_pid_stat(5), starttime;
random(4), boot_id). Numbers of another PID namespace say nothing here, and such a container is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker

from metallize.build.engines import endpoint
from metallize.build.steps import BUILDER_LABEL

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIELDS = 4
_STATE, _START = 0, 19
"""Of /proc/PID/stat, behind the name in parentheses: its fields 3 and 22."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The process that a container works for."""

    boot: str
    """The kernel's id of this boot."""
    namespace: str
    """Where its number means something: `pid:[4026531836]`."""
    pid: int
    start: int
    """When it began, in clock ticks since the boot."""

    @classmethod
    def this_process(cls) -> Self:
        """Raises OSError where there is no /proc."""
        pid = os.getpid()
        start = _start_of(pid)
        if start is None:
            raise ProcessLookupError(f"/proc does not tell of this process, {pid}")
        return cls(boot=_boot(), namespace=_namespace(), pid=pid, start=start)

    @classmethod
    def parse(cls, label: str) -> Self | None:
        """What `str` wrote; None for anything else."""
        fields = label.split(" ")
        if len(fields) != _FIELDS or not all(field.isascii() and field.isdigit() for field in fields[2:]):
            return None
        boot, namespace, pid, start = fields
        if len(pid) + len(start) > 40:  # noqa: PLR2004 - two numbers of 64 bits
            return None
        return cls(boot=boot, namespace=namespace, pid=int(pid), start=int(start))

    def __str__(self) -> str:
        return f"{self.boot} {self.namespace} {self.pid} {self.start}"

    @property
    def same_boot(self) -> bool:
        """Whether this host has not been booted since."""
        return self.boot == _boot()

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; not where nothing is known of it."""
        if not self.same_boot or self.namespace != _namespace():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:  # another user's
            pass
        if not Path(f"/proc/{self.pid}").exists():  # hidden from this user: proc(5), hidepid
            return False
        return _start_of(self.pid) != self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A container whose builder is gone."""

    id: str
    name: str
    image: str
    running: bool

    def __str__(self) -> str:
        return f"container {self.id[:12]} ({self.image}{', which still runs' if self.running else ''})"


def labels() -> Mapping[str, str]:
    """What a container is given to say whose it is; nothing where /proc is not there, and then none is taken away."""
    with suppress(OSError):
        return {BUILDER_LABEL: str(Builder.this_process())}
    return {}


def find_orphans(client: docker.DockerClient) -> tuple[Orphan, ...]:
    """Every one that the engine knows. Raises what the SDK raises (`endpoint.FAILURES`)."""
    found = client.api.containers(all=True, filters={"label": BUILDER_LABEL})
    return tuple(
        Orphan(
            id=str(each["Id"]),
            name=next(iter(each.get("Names") or ()), "").removeprefix("/"),
            image=str(each.get("Image", "")),
            running=each.get("State") in _WORKING,
        )
        for each in found
        if _is_orphan(each)
    )


def remove_orphans(client: docker.DockerClient) -> tuple[Orphan, ...]:
    """End and remove them; those that are gone now. What the engine refuses stays, and is found by the next build."""
    removed = []
    with suppress(*endpoint.FAILURES):
        for orphan in find_orphans(client):
            # Another build may be removing it: then that one tells of it.
            with suppress(*endpoint.FAILURES):
                client.api.remove_container(orphan.id, force=True, v=True)
                removed.append(orphan)
    return tuple(removed)


_WORKING = ("running", "paused", "restarting", "removing")


def _is_orphan(container: Mapping[str, Any]) -> bool:
    """Whether its builder has ended.

    One of another boot has, where the container has ended too: no container runs on through a boot. One that works is
    somebody's whose kernel is another (the engine's socket is handed on to another host), and is left alone.
    """
    builder = Builder.parse((container.get("Labels") or {}).get(BUILDER_LABEL, ""))
    if builder is None:
        return False
    if builder.same_boot:
        return builder.gone
    return container.get("State") in ("exited", "dead")


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="utf-8").strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _start_of(pid: int) -> int | None:
    """When the process began; None where it has ended, and be it as a zombie."""
    with suppress(OSError, IndexError, ValueError):
        # the name may hold blanks and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[_STATE] not in "ZX":
            return int(fields[_START])
    return None
