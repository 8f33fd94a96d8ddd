"""A token of SoftHSM's, in a folder of its own: only its module can sign with the keys in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metallize.command import run
from metallize.files.token_uri import PIN

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
LABEL = "the release"
TOKEN_PIN = "4321"


@contextmanager
def token(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """An empty one, its PIN in the environment; what is yielded may change that environment while it is there."""
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.setenv("PYKCS11LIB", "")
        patch.setenv(PIN, TOKEN_PIN)
        run(["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "1234", "--pin", TOKEN_PIN])
        yield patch


def take_in(key: Path, number: str) -> None:
    """Have a key's file on the token, too: PKCS #8, unencrypted."""
    words = ["--token", LABEL, "--label", key.stem, "--id", number, "--pin", TOKEN_PIN]
    run(["softhsm2-util", "--import", key, *words])
