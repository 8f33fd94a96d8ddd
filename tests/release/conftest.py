"""Destinations of every kind, with the servers that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metallize.release.destinations import destination_at
from metallize.release.objects import sessions as object_sessions
from metallize.release.registry import access, lock, sessions
from tests import registry
from tests.registry import Registry
from tests.release.kinds import FolderKind, Kind, OciKind, S3Kind
from tests.release.stores import KEYS, Between, between, store
from tests.unit.release.wares import released, ware

KINDS: dict[str, Callable[[pytest.FixtureRequest, Path], Kind]] = {
    "folder": lambda _, tmp_path: FolderKind(tmp_path),
    "oci": lambda request, _: OciKind(request.getfixturevalue("line"), request.getfixturevalue("docker_registry")),
    "s3": lambda request, _: S3Kind(request.getfixturevalue("proxy")),
}
"""Every one; a destination that is added needs its place here, and nothing else."""


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    """A store, and what is between it and boto3."""
    with (
        pytest.MonkeyPatch.context() as patch,
        store(tmp_path_factory.mktemp("store")) as target,
        between(target) as made,
    ):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(object_sessions, "LEASE_SECONDS", 6.0)  # it runs out soon where the line of its holder broke
        patch.setenv("AWS_ENDPOINT_URL", made.url)
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
        yield made


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Debian's, with nothing in it."""
    if registry.is_nowhere():
        pytest.skip("this host's distribution has no docker-registry")
    with registry.running(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="session")
def quick() -> Iterator[None]:
    """Locks that wait for nobody far away and run out soon, and requests that are made again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "REGISTRY_SETTLED", 1.0)
        patch.setattr(access, "REGISTRY_AGAIN", 0.05)
        patch.setattr(sessions, "LEASE_SECONDS", 6.0)
        yield


@pytest.fixture(scope="session")
def line(quick: None, docker_registry: Registry) -> Iterator[Between]:
    """What is between it and whoever publishes there, who has no login."""
    with (
        pytest.MonkeyPatch.context() as patch,
        between(f"http://{docker_registry.host}") as made,
    ):
        patch.setenv("DOCKER_CONFIG", "/nonexistent")
        yield made


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Each of them; by its name where a test is about one."""
    return KINDS[request.param](request, tmp_path)


@pytest.fixture
def place(kind: Kind) -> str:
    return kind.make("to")


@pytest.fixture
def s3(proxy: Between) -> Iterator[S3Kind]:
    """The store alone, over a line that a test may break."""
    proxy.seen.clear()
    yield S3Kind(proxy)
    proxy.rule = None


@pytest.fixture
def s3_place(s3: S3Kind, tmp_path: Path) -> str:
    """In it, with a release in it already."""
    made = s3.make("to")
    released(destination_at(made), ware(tmp_path / "first"))
    return made


@pytest.fixture
def oci(line: Between, docker_registry: Registry) -> Iterator[OciKind]:
    """The registry alone, over a line that a test may break."""
    line.seen.clear()
    yield OciKind(line, docker_registry)
    line.rule = None


@pytest.fixture
def oci_place(oci: OciKind, tmp_path: Path) -> str:
    """A repository of it, with a release in it already."""
    made = oci.make("to")
    released(destination_at(made), ware(tmp_path / "first"))
    return made
