"""The URI of a key on a token: `pkcs11:token=release;id=%02?module-path=FILE&pin-source=FILE` (RFC 7512)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from metallize.errors import UsageError

SCHEME = "pkcs11"
PIN = "METALLIZE_PIN"
"""The environment's variable that has a token's PIN, where nobody is there to be asked for it."""
MODULE = "PYKCS11LIB"
"""The one that names the token's library, where the URI does not; securesystemslib looks there, too."""
EXAMPLE = "pkcs11:token=release;id=%02?module-path=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Where the key is; its PIN is not in it."""

    uri: str
    module: Path
    """The library that reaches the token."""
    token: str | None
    """The token's label."""
    id: bytes
    """CKA_ID of the key."""
    pin_source: Path | None


def names_token(key: str) -> bool:
    """Whether it is such a URI, and no file's name."""
    return key.partition(":")[0] == SCHEME


def token_key(uri: str) -> TokenKey:
    """What the URI says. Raises UsageError where it is not understood, or there is no such library."""
    named, asked = _parts(uri)
    module = asked.get("module-path") or os.environ.get(MODULE, "")
    if not module:
        raise UsageError(f"{uri} does not say which library reaches the token", hint=f"for instance {EXAMPLE}")
    if not Path(module).is_file():
        raise UsageError(f"{uri}: there is no library {module}", hint="the token's package has it: opensc, ykcs11, ...")
    source = asked.get("pin-source")
    return TokenKey(
        uri=uri,
        module=Path(module),
        token=unquote(named["token"]) if "token" in named else None,
        id=unquote_to_bytes(named.get("id", "%02")),
        pin_source=Path(source.removeprefix("file:")) if source is not None else None,
    )


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
        raise UsageError(f"{uri}: an id is a number from 1, as bytes: id=%02", hint=f"for instance {EXAMPLE}")
    return named, {name: unquote(value) for name, value in asked.items()}
