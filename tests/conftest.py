"""What all tests share: the checkout, and the command line as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.command import Finished

ROOT = Path(__file__).resolve().parents[1]
CLI_LIMIT = timedelta(minutes=25)

Cli = Callable[..., Finished]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `metallize ARGS...` to its end as a process of its own; its status is the test's to judge."""

    def run_cli(*args: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> Finished:
        words = [sys.executable, "-m", "metallize", *(str(arg) for arg in args)]
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=CLI_LIMIT.total_seconds(),
        )
        sys.stdout.write(done.stdout)
        sys.stdout.write(done.stderr)
        return Finished(argv=tuple(words), status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return run_cli
