"""A signed release for each test: its own copy of one that is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.release.places import Place


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    return made.copied(tmp_path)
