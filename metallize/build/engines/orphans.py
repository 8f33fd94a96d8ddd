"""Containers and sealed images whose builder is gone: found by their label, from any build and wherever theirs was.

A builder that is killed (kill -9, out of memory) ends nothing: the engine goes on running its container, and keeps
the image of its sealed rootfs. So each says whose it is, and whoever comes next looks whether that process still lives.
Where nothing is known of it, as of one in another PID namespace, it is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker

from metallize.build.engines import endpoint
from metallize.build.steps import BUILDER_LABEL
from metallize.host.process import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A container whose builder is gone, or an image."""

    id: str
    name: str
    """Of an image its tag, where it has one."""
    image: str
    """Of a container what it was made of; empty for an image."""
    running: bool

    @property
    def is_image(self) -> bool:
        return not self.image

    def __str__(self) -> str:
        if self.is_image:
            return f"image {self.name}"
        return f"container {self.id[:12]} ({self.image}{', which still runs' if self.running else ''})"


def labels() -> Mapping[str, str]:
    """What a container is given to say whose it is; nothing where /proc is not there, and then none is taken away."""
    with suppress(OSError):
        return {BUILDER_LABEL: str(Process.this_process())}
    return {}


def find_orphans(client: docker.DockerClient) -> tuple[Orphan, ...]:
    """Every one that the engine knows. Raises what the SDK raises (`endpoint.FAILURES`)."""
    containers = tuple(
        Orphan(
            id=str(each["Id"]),
            name=next(iter(each.get("Names") or ()), "").removeprefix("/"),
            image=str(each.get("Image") or "an image that is gone"),
            running=each.get("State") in _WORKING,
        )
        for each in client.api.containers(all=True, filters={"label": BUILDER_LABEL})
        if _is_orphan(each)
    )
    images = tuple(
        Orphan(
            id=str(each["Id"]), name=next(iter(each.get("RepoTags") or ()), str(each["Id"])), image="", running=False
        )
        for each in client.api.images(filters={"label": BUILDER_LABEL})
        if _is_orphan(each)
    )
    return (*containers, *images)  # a container holds the image that it was made of


def remove_orphans(client: docker.DockerClient) -> tuple[Orphan, ...]:
    """End and remove them; those that are gone now. What the engine refuses stays, and is found by the next build."""
    removed = []
    with suppress(*endpoint.FAILURES):
        for orphan in find_orphans(client):
            # Another build may be removing it: then that one tells of it.
            with suppress(*endpoint.FAILURES):
                if orphan.is_image:
                    client.api.remove_image(orphan.id, force=True)
                else:
                    client.api.remove_container(orphan.id, force=True, v=True)
                removed.append(orphan)
    return tuple(removed)


_WORKING = ("running", "paused", "restarting", "removing")


_LONG_SECONDS = 86_400
"""No build takes so long."""


def _is_orphan(found: Mapping[str, Any]) -> bool:
    """Whether the builder of a container or of an image has ended.

    One of another boot has, where the container has ended too: no container runs on through a boot; and where the image
    is old. One that works is somebody's whose kernel is another (the engine's socket is handed on to another host), and
    is left alone.
    """
    builder = Process.parse((found.get("Labels") or {}).get(BUILDER_LABEL, ""))
    if builder is None:
        return False
    if builder.same_boot:
        return builder.gone
    if "State" in found:
        return found["State"] in ("exited", "dead")
    return time.time() - float(found.get("Created") or time.time()) > _LONG_SECONDS
