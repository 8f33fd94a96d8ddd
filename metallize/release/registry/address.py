"""Where a repository is: `oci://HOST[:PORT]/REPOSITORY`.

A registry on loopback is spoken to without TLS, as Docker does; `oci+http://` says so of another, `oci+https://` the
contrary of one on loopback.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from metallize.errors import UsageError

SCHEMES = ("oci", "oci+http", "oci+https")
_ADDRESS = re.compile(r"(oci|oci\+http|oci\+https)://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)/(.+)")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*")
"""The distribution specification's rule of a name (OCI Distribution Specification 1.1, Pulling manifests)."""
_LOOPBACK = re.compile(r"(?:localhost|[a-z0-9.-]+\.localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One repository."""

    scheme: str
    """http or https."""
    host: str
    """With its port, where it is not that of the scheme."""
    repository: str
    given: str
    """As the user wrote it."""

    @property
    def origin(self) -> str:
        """What requests to the registry begin with."""
        return f"{self.scheme}://{self.host}"

    def place(self, tag: str = "") -> str:
        """As a person names it, and as skopeo, oras and Docker take what stands behind the ://."""
        return f"{self.given}:{tag}" if tag else self.given


def address_of(text: str) -> Address:
    """What `--to` means. Raises UsageError for what is no repository of a registry."""
    match = _ADDRESS.fullmatch(text.rstrip("/"))
    if match is None or _REPOSITORY.fullmatch(match[3]) is None:
        why = "a repository's name has small letters, digits and . _ - between them"
        raise UsageError(f"{text}: it is no repository of a registry", hint=f"oci://HOST[:PORT]/REPOSITORY; {why}")
    kind, host = match[1], match[2].lower()
    plain = kind == "oci+http" or (kind == "oci" and _LOOPBACK.fullmatch(host) is not None)
    return Address(
        scheme="http" if plain else "https", host=host, repository=match[3], given=f"{kind}://{host}/{match[3]}"
    )
