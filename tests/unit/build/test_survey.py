"""What an engine lacks: from answers of real ones, of which only what is read is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from metallize.build.engines.survey import EngineFacts

SECCOMP, CGROUPNS = "name=seccomp,profile=builtin", "name=cgroupns"
ENGINE = [{"Name": "Engine"}, {"Name": "containerd"}, {"Name": "runc"}, {"Name": "docker-init"}]
DEBIAN_12: tuple[dict[str, Any], dict[str, Any]] = (
    {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Components": ENGINE},
    {
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"], ["userxattr", "false"]],
        "SecurityOptions": ["name=seccomp,profile=default"],
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    },
)
CONTAINERD: tuple[dict[str, Any], dict[str, Any]] = (
    {"Version": "26.1.5+dfsg1", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Components": ENGINE},
    {
        "Driver": "overlayfs",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "SecurityOptions": [SECCOMP],
        "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
    },
)
ROOTLESS: tuple[dict[str, Any], dict[str, Any]] = (
    CONTAINERD[0],
    {
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["userxattr", "true"]],
        "SecurityOptions": [SECCOMP, "name=rootless"],
        "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
    },
)
PODMAN: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "Version": "5.4.2",
        "ApiVersion": "1.41",
        "MinAPIVersion": "1.24",
        "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}, {"Name": "OCI Runtime (crun)"}],
    },
    {
        "Driver": "vfs",
        "DriverStatus": [],
        "SecurityOptions": ["name=seccomp,profile=default"],
        "OperatingSystem": "debian",
    },
)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (DEBIAN_12, "version 20.10.24+dfsg1 (API 1.41), images in its own store (overlay2)"),
        (CONTAINERD, "version 26.1.5+dfsg1 (API 1.45), images in containerd's store (overlayfs)"),
        (ROOTLESS, "version 26.1.5+dfsg1 (API 1.45), rootless, images in its own store (overlay2)"),
    ],
)
def test_an_engine_that_lacks_nothing(answers: tuple[dict[str, Any], dict[str, Any]], words: str) -> None:
    facts = EngineFacts.parse(*answers)
    assert facts.words() == words
    assert not list(facts.lacks())


def test_podman_has_no_buildkit() -> None:
    [lack] = EngineFacts.parse(*PODMAN).lacks()  # that its driver is slow is nobody's concern then
    assert lack.needed
    assert "Podman" in lack.what
    assert "BuildKit" in lack.what
    assert "apt-get install docker.io docker-buildx" in lack.mend


def test_docker_desktop_does_not_share_a_pipe_with_this_host() -> None:
    [lack] = EngineFacts.parse(CONTAINERD[0], {**CONTAINERD[1], "OperatingSystem": "Docker Desktop"}).lacks()
    assert lack.needed
    assert "Docker Desktop" in lack.what
    assert "docker context use default" in lack.mend


@pytest.mark.parametrize(("api", "old"), [("1.40", True), ("1.41", False), ("1.100", False), ("2.0", False)])
def test_an_api_is_compared_as_numbers(api: str, old: bool) -> None:
    lacks = list(EngineFacts.parse({**DEBIAN_12[0], "ApiVersion": api}, DEBIAN_12[1]).lacks())
    assert bool(lacks) == old
    assert all("Docker 20.10" in each.mend and each.needed for each in lacks)


def test_a_slow_driver_is_told_and_keeps_nobody_from_building() -> None:
    for rootless, mend in ((False, "data-root"), (True, "fuse-overlayfs")):
        [lack] = dataclasses.replace(EngineFacts.parse(*DEBIAN_12), storage="vfs", rootless=rootless).lacks()
        assert not lack.needed
        assert mend in lack.mend


def test_an_engine_that_says_nothing_of_itself_lacks_nothing_that_we_know_of() -> None:
    assert not list(EngineFacts.parse({}, {}).lacks())
    assert not list(EngineFacts.parse({"ApiVersion": "x", "Components": None}, {"DriverStatus": None}).lacks())
