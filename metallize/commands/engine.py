"""The container engine of this host, for the verbs that need one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from metallize.build.engines.docker import DockerEngine


@contextmanager
def engine_of_host() -> Iterator[DockerEngine]:
    """Raises EngineError where none answers."""
    engine = DockerEngine()
    try:
        yield engine
    finally:
        engine.close()
