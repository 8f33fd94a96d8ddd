"""Options as a goss file gives them, and probes run by the host's own sh."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from metallize.catalog import Catalog
from metallize.config import Vocabulary, load_suite
from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation

Assert = Callable[[str], Assertion]
Judge = Callable[..., dict[str, Claim]]
Run = Callable[[str], dict[str, Claim]]


@cache
def vocabulary() -> Vocabulary:
    return Catalog().vocabulary()


def kinds() -> dict[str, Kind]:
    return dict(vocabulary().kinds)


@pytest.fixture
def assertion(tmp_path: Path) -> Assert:
    """The one assertion of a goss file."""

    def assertion(text: str) -> Assertion:
        path = tmp_path / "goss.yaml"
        path.write_text(text)
        (found,) = load_suite(path, vocabulary=vocabulary())
        return found

    return assertion


@pytest.fixture
def judge(assertion: Assert) -> Judge:
    """The claims of a goss file's one assertion over a recorded output, by attribute."""

    def judge(text: str, stdout: str, *, status: int = 0, stderr: str = "", seconds: float = 0.1) -> dict[str, Claim]:
        found = assertion(text)
        seen = Observation(status=status, stdout=stdout, stderr=stderr, seconds=seconds)
        claims = kinds()[found.kind].judge(found.resource, found.options, seen)
        return {claim.attribute: claim for claim in claims}

    return judge


@pytest.fixture
def run(assertion: Assert) -> Run:
    """The claims of a goss file's one assertion over what this host shows to its probe."""

    def run(text: str) -> dict[str, Claim]:
        found = assertion(text)
        kind = kinds()[found.kind]
        begun = time.monotonic()
        shell = shutil.which("dash") or "sh"
        done = subprocess.run(
            [shell, "-u", "-c", kind.probe(found.resource, found.options)],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        seen = Observation(
            status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=time.monotonic() - begun
        )
        return {claim.attribute: claim for claim in kind.judge(found.resource, found.options, seen)}

    return run


def flow(value: object) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
