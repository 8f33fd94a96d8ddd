"""A folder to write profiles in, and the catalogue of the checkout to read them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import Vocabulary, load_profile
from metallize.errors import Problem, ProfileError
from metallize.model.loaded import Profile

GOOD = """\
args:
  compression: zstd
images:
  - debian:trixie
  - debian-live.dockerfile
output:
  generator: livecd
  file: my.iso
boot:
  machines: [seabios, ovmf]
  login: {user: admin, password: admin}
  assert:
    service: {ssh: {enabled: true}}
"""

Load = Callable[..., Profile]
Problems = Callable[..., tuple[Problem, ...]]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Catalog().vocabulary()


@pytest.fixture
def load(tmp_path: Path, vocabulary: Vocabulary) -> Load:
    """Write a profile and load it; a pair of texts replaces one by the other in the good profile."""

    def load(text: str | bytes = GOOD, *swap: str, overrides: Mapping[str, str] | None = None) -> Profile:
        path = tmp_path / "p.yaml"
        if swap:
            assert isinstance(text, str)
            assert text in GOOD, text
            text = GOOD.replace(text, swap[0], 1)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_profile(path, vocabulary=vocabulary, overrides=overrides)

    return load


@pytest.fixture
def problems(load: Load) -> Problems:
    """The problems of a profile that must not load."""

    def problems(*args: object, **kwargs: object) -> tuple[Problem, ...]:
        with pytest.raises(ProfileError) as caught:
            load(*args, **kwargs)
        return caught.value.problems

    return problems
