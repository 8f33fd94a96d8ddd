"""A bash for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scripts.bash import Bash


@pytest.fixture
def bash(tmp_path: Path) -> Bash:
    return Bash(tmp_path)
