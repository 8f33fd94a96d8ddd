"""With pytest-xdist: which worker a test goes to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it brings no types


def scope_of(nodeid: str, targets: Sequence[str]) -> str:
    """What must stay together: everything that needs one target's guest; any other test goes by itself. Pure."""
    words = set(re.split(r"::|[\[\]]", nodeid))
    for name in targets:
        if name in words or re.search(rf"[\[-]{re.escape(name)}[\]-]", nodeid):
            return name
    return nodeid


def by_target(config: pytest.Config, log: Any, targets: Sequence[str]) -> Any:
    """A scheduler that gives one target's items to one worker, so that its guest is booted once."""

    class ByTarget(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid, targets)

    return ByTarget(config, log)
