"""Images are built once and shared by all boot tests of a run; Docker's layers are shared between runs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder of this run: every boot in it is a real one, none is remembered from an earlier run."""
    return tmp_path_factory.mktemp("build")
