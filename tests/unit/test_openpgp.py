"""Keys and signatures that are made without gpg(1), as gpg reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metallize.files.openpgp import Signer

pytestmark = pytest.mark.slow  # keys of 2048 bits, and a program that is started
CONTENT = b"abc  web.img\n"


def verified(folder: Path, keyring: bytes, signature: bytes, content: bytes) -> subprocess.CompletedProcess[str]:
    """As systemd-pull starts it (verify_gpg, src/import/pull-common.c)."""
    (folder / "home").mkdir(mode=0o700, exist_ok=True)
    for name, each in (("ring.gpg", keyring), ("SHA256SUMS.gpg", signature)):
        (folder / name).write_bytes(each)
    argv = [
        *("gpg", "--no-options", "--no-default-keyring", "--no-auto-key-locate", "--no-auto-check-trustdb", "--batch"),
        *("--trust-model=always", f"--homedir={folder / 'home'}", f"--keyring={folder / 'ring.gpg'}"),
        *("--verify", str(folder / "SHA256SUMS.gpg"), "-"),
    ]
    return subprocess.run(argv, check=False, capture_output=True, text=True, input=content.decode())


def test_gpg_takes_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    one, other = Signer.make("metallize"), Signer.make("metallize")
    for content in (CONTENT, b""):
        good = verified(tmp_path, one.keyring, one.signature(content), content)
        assert good.returncode == 0, good.stderr
        assert 'Good signature from "metallize"' in good.stderr
    changed = verified(tmp_path, one.keyring, one.signature(CONTENT), CONTENT + b"x")
    assert changed.returncode != 0
    assert "BAD signature" in changed.stderr
    strange = verified(tmp_path, one.keyring, other.signature(CONTENT), CONTENT)
    assert strange.returncode != 0
    assert "No public key" in strange.stderr
    assert one.signature(CONTENT) == one.signature(CONTENT)
