"""Private keys that nobody can copy: on a token, by PKCS#11, or with a cloud's key service. They are named by a URI.

pkcs11:token=release;id=%02?module-path=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so     RFC 7512
awskms:alias/release   gcpkms:projects/...   hv:release                               securesystemslib's own
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    AWSSigner,
    GCPSigner,
    HSMSigner,
    Signer,
    SSlibKey,
    VaultSigner,
)

from metallize.errors import HostError, UsageError
from metallize.files import token_uri
from metallize.host.token import Pin

_SERVICES: Mapping[str, Callable[[str], tuple[str, SSlibKey]]] = {
    AWSSigner.SCHEME: AWSSigner.import_,
    GCPSigner.SCHEME: GCPSigner.import_,
    VaultSigner.SCHEME: VaultSigner.import_,
}
SCHEMES = (token_uri.SCHEME, *_SERVICES)
_EXTRAS = {token_uri.SCHEME: "hsm", AWSSigner.SCHEME: "awskms", GCPSigner.SCHEME: "gcpkms", VaultSigner.SCHEME: "vault"}
"""Of securesystemslib: what each of them needs installed."""
_PROBE = b"metallize asks whether this key is there; this is no statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A key that stays where it is, with its public half."""

    uri: str
    signer: Signer
    public: bytes
    """PEM."""


def names_kept(key: str) -> bool:
    """Whether it is a URI of such a key, and no file's name."""
    return key.partition(":")[0] in SCHEMES and not Path(key).exists()


def kept_key(uri: str) -> Kept:
    """Find the key, and have it sign once, so that a wrong PIN or a missing right shows before anything is written.

    Raises UsageError where the URI is wrong or a library is missing, HostError where the key cannot be had.
    """
    scheme, _, name = uri.partition(":")
    try:
        if scheme == token_uri.SCHEME:
            signer, key = _on_token(uri)
        else:
            own, key = _SERVICES[scheme](name)
            key = _as_everybody_reads(key)
            signer = SIGNER_FOR_URI_SCHEME[scheme].from_priv_key_uri(own, key)  # type: ignore[attr-defined]
        key.verify_signature(signer.sign(_PROBE), _PROBE)
    except (UsageError, HostError):
        raise
    except UnsupportedLibraryError as exc:
        raise UsageError(
            f"{uri}: {exc}", hint=f"install it: pip install 'securesystemslib[{_EXTRAS[scheme]}]'"
        ) from exc
    except Exception as exc:  # each library raises what it likes, as securesystemslib says of them
        raise HostError(f"{uri} does not sign: {_told(exc)}", hint=_HINTS[scheme == token_uri.SCHEME]) from exc
    return Kept(uri=uri, signer=signer, public=str(key.keyval["public"]).encode())


_HINTS = {
    True: f"is the token there, and the PIN right ({token_uri.PIN})? pkcs11-tool --module LIBRARY --list-objects "
    "shows its keys",
    False: "are the key's name, the region and the credentials right? they are found as that cloud's own tools do",
}


def _told(exc: Exception) -> str:
    """A PKCS#11 error has often no text but its name."""
    return str(exc).strip() or type(exc).__name__


def _as_everybody_reads(key: SSlibKey) -> SSlibKey:
    """As its PEM gives it: whoever verifies has no more, and derives id and scheme from it."""
    read = SSlibKey.from_crypto(load_pem_public_key(str(key.keyval["public"]).encode()))
    if read.scheme != key.scheme:
        raise UsageError(f"the key signs by {key.scheme}, and its public half is read as one of {read.scheme}")
    return read


def _on_token(uri: str) -> tuple[Signer, SSlibKey]:
    kept = token_uri.token_key(uri)
    os.environ[token_uri.MODULE] = str(kept.module)
    pin = Pin(key=kept)
    own, key = HSMSigner.import_(int.from_bytes(kept.id), kept.token, pin)
    key = _as_everybody_reads(key)
    query = f"?{urlencode({'label': kept.token})}" if kept.token else ""
    return HSMSigner.from_priv_key_uri(f"{own.partition('?')[0]}{query}", key, pin), key
