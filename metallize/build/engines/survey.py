"""What an engine is, and what it lacks for our builds: from what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

OLDEST_API = (1, 41)
"""Docker 20.10's, the first whose own BuildKit reads `RUN --mount` (Engine API's version history)."""
_SLOW_DRIVER = "vfs"
_CONTAINERD = "io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Something that an engine does not do, and the command that mends it."""

    what: str
    mend: str
    needed: bool = True
    """Whether nothing can be built without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """An engine, as `docker version` and `docker info` have it."""

    version: str
    api: tuple[int, int]
    storage: str
    """The storage driver, or the snapshotter of containerd's store."""
    containerd_store: bool = False
    rootless: bool = False
    podman: bool = False
    desktop: bool = False

    @classmethod
    def parse(cls, version: Mapping[str, Any], info: Mapping[str, Any]) -> Self:
        """Read the answers of /version and /info (Engine API); what is not said is taken for Docker's usual."""
        components = [str(each.get("Name", "")) for each in version.get("Components") or ()]
        return cls(
            version=str(version.get("Version", "")),
            api=_number(str(version.get("ApiVersion", ""))),
            storage=str(info.get("Driver", "")),
            containerd_store=any(list(pair[1:]) == [_CONTAINERD] for pair in info.get("DriverStatus") or ()),
            rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
            podman=any(name.startswith("Podman") for name in components),
            desktop=str(info.get("OperatingSystem", "")) == "Docker Desktop",
        )

    def words(self) -> str:
        """What tells it from others: `version 26.1.5 (API 1.45), rootless, images in its own store (overlay2)`."""
        store = "containerd's store" if self.containerd_store else "its own store"
        rootless = ", rootless" if self.rootless else ""
        return f"version {self.version} (API {self.api[0]}.{self.api[1]}){rootless}, images in {store} ({self.storage})"

    def lacks(self) -> Iterator[Lack]:
        """What it lacks, that without which nothing can be built first."""
        if self.podman:
            yield Lack(
                what="it is Podman, which answers as Docker does and has no BuildKit to build layers with",
                mend="sudo apt-get install docker.io docker-buildx; then unset DOCKER_HOST,"
                " or `docker context use default`",
            )
            return
        if self.desktop:
            yield Lack(
                what="it is Docker Desktop's, in a virtual machine, where the pipe of a rootfs leads nowhere",
                mend="sudo apt-get install docker.io docker-buildx; then `docker context use default`",
            )
        if self.api < OLDEST_API:
            yield Lack(
                what=f"its API is {self.api[0]}.{self.api[1]}, of an engine that does not read `RUN --mount`",
                mend="install Docker 20.10 or newer: sudo apt-get install docker.io",
            )
        if self.storage == _SLOW_DRIVER:
            yield Lack(
                what="its storage driver vfs copies the whole rootfs for each layer, which takes time and disk",
                mend="sudo apt-get install fuse-overlayfs; then systemctl --user restart docker"
                if self.rootless
                else "put its data-root on ext4 or xfs, take vfs out of /etc/docker/daemon.json, and restart it",
                needed=False,
            )


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else OLDEST_API
