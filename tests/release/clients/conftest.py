"""What the tests of clients share: a destination, where it is served, and a key that signs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.clients.serving import keyring, served


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "to"
    folder.mkdir()
    return folder


@pytest.fixture
def url(to: Path) -> Iterator[str]:
    """Where the destination is served."""
    with served(to) as address:
        yield address


@pytest.fixture
def gnupg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A keyring with a key of its own."""
    home = tmp_path_factory.mktemp("g")
    monkeypatch.setenv("GNUPGHOME", str(home))
    with keyring(home):
        yield
