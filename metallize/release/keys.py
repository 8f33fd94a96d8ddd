"""Keys that statements are signed with: PEM files, made here or by openssl(1), or the URI of a key kept elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from metallize.errors import HostError, UsageError
from metallize.release.signing.kept import kept_key, names_kept

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """The two halves of a key."""

    private: Path
    public: Path


def make_key(name: Path) -> KeyFiles:
    """Write a new ed25519 key, NAME.key for whoever signs and NAME.pub for everybody. Nothing is written over.

    Raises UsageError where one of the files is there, HostError where they cannot be written.
    """
    files = KeyFiles(private=name.with_name(f"{name.name}.key"), public=name.with_name(f"{name.name}.pub"))
    signer = CryptoSigner.generate_ed25519()
    private = load_pem_private_key(signer.private_bytes, password=None)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new({files.private: (signer.private_bytes, 0o600), files.public: (public, 0o644)})
    return files


def write_public(uri: str, name: Path) -> Path:
    """Write NAME.pub, the public half of a key that is kept elsewhere. Nothing is written over.

    Raises as `make_key` does, and HostError where the key cannot be had or does not sign.
    """
    if not names_kept(uri):
        raise UsageError(f"{uri} names no key that is kept elsewhere", hint="pkcs11:..., awskms:...: docs/release.md")
    path = name.with_name(f"{name.name}.pub")
    _write_new({path: (kept_key(uri).public, 0o644)})
    return path


def _write_new(contents: Mapping[Path, tuple[bytes, int]]) -> None:
    """All of these files with their modes, or none."""
    for path in contents:
        if path.exists():
            raise UsageError(f"{path} is there already", hint="a key is not written over: choose another name")
    written: list[Path] = []
    try:
        for path, (content, mode) in contents.items():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            written.append(path)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
    except OSError as exc:
        for path in written:
            path.unlink(missing_ok=True)
        place = exc.filename or ", ".join(map(str, contents))
        raise HostError(f"{place}: {exc.strerror or exc}", hint="choose another place") from exc


def signer_of(key: str) -> Signer:
    """What signs with a private key: a file's name, or a URI. Raises UsageError and HostError as those two do."""
    return kept_key(key).signer if names_kept(key) else load_signer(Path(key))


def load_signer(path: Path) -> CryptoSigner:
    """What signs with a private key's file. Raises UsageError where it is none, or wants a passphrase."""
    content = _content(path)
    try:
        return CryptoSigner(load_pem_private_key(content, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm, UnsupportedLibraryError) as exc:
        raise UsageError(
            f"{path} is no private key that can be used: {exc}", hint="make one: metallize keygen NAME"
        ) from exc


def load_public(path: Path) -> SSlibKey:
    """What verifies. Raises UsageError where the file holds no public key."""
    content = _content(path)
    try:
        return SSlibKey.from_crypto(load_pem_public_key(content))
    except (ValueError, TypeError, UnsupportedAlgorithm, UnsupportedLibraryError) as exc:
        raise UsageError(
            f"{path} is no public key: {exc}", hint="it is NAME.pub that `metallize keygen NAME` wrote"
        ) from exc


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="a key's file is wanted") from exc
