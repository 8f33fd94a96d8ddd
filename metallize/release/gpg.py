"""SHA256SUMS.gpg: the detached signature that systemd-sysupdate(8), systemd-pull and people ask for, made by gpg(1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metallize.command import run
from metallize.files.vanishing import scratch_folder
from metallize.release.pointers import KEYRINGS, SIGNATURE, Sign

_HINT = "gpg --list-secret-keys says which keys there are"


def gpg_signer(key: str) -> Sign:
    """Signs with a secret key of the user's own keyring, or of GNUPGHOME. Raises CommandError where gpg refuses."""
    exported = _exported(key)  # before anything is written: a key that is not there ends all at once

    def sign(content: bytes) -> Mapping[str, bytes]:
        with scratch_folder("metallize-gpg-") as folder:
            plain, signature = Path(folder, "SHA256SUMS"), Path(folder, SIGNATURE)
            plain.write_bytes(content)
            run(
                ["gpg", "--batch", "--yes", "--local-user", key, "--output", signature, "--detach-sign", plain],
                hint=_HINT,
            )
            return {SIGNATURE: signature.read_bytes(), **dict.fromkeys(KEYRINGS, exported)}

    return sign


def _exported(key: str) -> bytes:
    """The public half: a binary keyring, because systemd reads no armored one."""
    with scratch_folder("metallize-gpg-") as folder:
        ring = Path(folder, KEYRINGS[0])
        run(["gpg", "--batch", "--list-secret-keys", key], hint=_HINT)
        run(["gpg", "--batch", "--yes", "--output", ring, "--export", key], hint=_HINT)
        return ring.read_bytes()
