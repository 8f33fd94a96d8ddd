"""Private keys that nobody can copy: on a token, by PKCS#11, or with a cloud's key service. They are named by a URI.

pkcs11:token=release;id=%02?module-path=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so     RFC 7512
awskms:alias/release   gcpkms:projects/...   hv:release                               securesystemslib's own
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlencode

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

PIN = "METALLIZE_PIN"
"""The environment's variable that has a token's PIN, where nobody is there to be asked for it."""
_MODULE = "PYKCS11LIB"
"""Where securesystemslib looks for the name of the token's library."""
_TOKEN = "pkcs11"  # noqa: S105 - a scheme
_SERVICES: Mapping[str, Callable[[str], tuple[str, SSlibKey]]] = {
    AWSSigner.SCHEME: AWSSigner.import_,
    GCPSigner.SCHEME: GCPSigner.import_,
    VaultSigner.SCHEME: VaultSigner.import_,
}
SCHEMES = (_TOKEN, *_SERVICES)
_EXTRAS = {_TOKEN: "hsm", AWSSigner.SCHEME: "awskms", GCPSigner.SCHEME: "gcpkms", VaultSigner.SCHEME: "vault"}
"""Of securesystemslib: what each of them needs installed."""
_PROBE = b"metallize asks whether this key is there; this is no statement"
_EXAMPLE = "pkcs11:token=release;id=%02?module-path=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"


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
        if scheme == _TOKEN:
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
        raise HostError(f"{uri} does not sign: {_told(exc)}", hint=_HINTS[scheme == _TOKEN]) from exc
    return Kept(uri=uri, signer=signer, public=str(key.keyval["public"]).encode())


_HINTS = {
    True: f"is the token there, and the PIN right ({PIN})? pkcs11-tool --module LIBRARY --list-objects shows its keys",
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
    named, asked = _parts(uri)
    module = asked.get("module-path") or os.environ.get(_MODULE, "")
    if not module:
        raise UsageError(f"{uri} does not say which library reaches the token", hint=f"for instance {_EXAMPLE}")
    if not Path(module).is_file():
        raise UsageError(f"{uri}: there is no library {module}", hint="the token's package has it: opensc, ykcs11, ...")
    os.environ[_MODULE] = module
    number = int.from_bytes(unquote_to_bytes(named.get("id", "%02")))
    label = unquote(named["token"]) if "token" in named else None
    pin = _Pin(source=asked.get("pin-source"), uri=uri)
    own, key = HSMSigner.import_(number, label, pin)
    key = _as_everybody_reads(key)
    query = f"?{urlencode({'label': label})}" if label else ""
    return HSMSigner.from_priv_key_uri(f"{own.partition('?')[0]}{query}", key, pin), key


def _parts(uri: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What the URI names and asks, by RFC 7512, as far as it is understood; anything else is refused."""
    path, _, query = uri.partition(":")[2].partition("?")
    known = (("token", "id", "type"), ("module-path", "pin-source"))
    found: list[dict[str, str]] = []
    for text, separator, names in ((path, ";", known[0]), (query, "&", known[1])):
        pairs = [each.partition("=")[::2] for each in text.split(separator) if each]
        for name, _value in pairs:
            if name == "pin-value":
                raise UsageError(
                    f"{uri.partition('pin-value')[0]}...: a PIN on the command line is seen by everybody on this host",
                    hint=f"pin-source=FILE, or {PIN} in the environment",
                )
            if name not in names:
                raise UsageError(f"{uri}: `{name}` is not understood", hint=f"it is one of {', '.join(names)}")
        found.append(dict(pairs))
    named, asked = found
    if unquote_to_bytes(named.get("id", "%02"))[:1] in (b"", b"\0"):
        raise UsageError(f"{uri}: an id is a number from 1, as bytes: id=%02", hint=f"for instance {_EXAMPLE}")
    return named, {name: unquote(value) for name, value in asked.items()}


@dataclass(slots=True, kw_only=True)
class _Pin:
    """The PIN: read or asked for once, because a token that is told a wrong one some times locks itself."""

    source: str | None
    uri: str
    known: str | None = None

    def __call__(self, _name: str) -> str:
        if self.known is None:
            self.known = self._found()
        return self.known

    def _found(self) -> str:
        if self.source is not None:
            try:
                return Path(self.source.removeprefix("file:")).read_text().strip("\r\n")
            except (OSError, UnicodeDecodeError) as exc:
                raise UsageError(f"{self.source} holds no PIN that can be read: {exc}") from exc
        if PIN in os.environ:
            return os.environ[PIN]
        if not sys.stdin.isatty():
            raise UsageError(
                f"{self.uri} wants a PIN, and nobody is there to be asked",
                hint=f"pin-source=FILE in the URI, or {PIN} in the environment",
            )
        return getpass.getpass(f"PIN of {self.uri}: ")
