"""Destinations of every kind, with the servers that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metallize.release.destinations import destination_at
from tests.release.kinds import FolderKind, Kind, S3Kind
from tests.release.stores import KEYS, Between, between, store
from tests.unit.release.wares import released, ware

KINDS: dict[str, Callable[[pytest.FixtureRequest, Path], Kind]] = {
    "folder": lambda _, tmp_path: FolderKind(tmp_path),
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
        patch.setenv("AWS_ENDPOINT_URL", made.url)
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
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
