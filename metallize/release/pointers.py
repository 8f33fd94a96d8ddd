"""What is written anew with every switch of a channel: how clients, scripts and people find what there is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from metallize.errors import HostError, UsageError
from metallize.release import catalogue as catalogues
from metallize.release import sums
from metallize.release.catalogue import Catalogue
from metallize.release.channel import feed
from metallize.release.channel.os_list import os_lists
from metallize.release.channel.page import page_text
from metallize.release.channel.serving import ServingChange, marker, served
from metallize.release.channel.streams import streams
from metallize.release.channel.transfer import transfers
from metallize.release.destinations import Session

PAGE = "index.html"
SIGNATURE = "SHA256SUMS.gpg"
KEYRINGS = ("import-pubring.gpg", "import-pubring.pgp")
"""The same keyring under both names that systemd has looked for: .gpg up to 257, .pgp since."""
_EMPTY = hashlib.sha256(b"").hexdigest()
Sign = Callable[[bytes], Mapping[str, bytes]]
"""Gives SHA256SUMS.gpg, and the keyrings that verify it, for the content of SHA256SUMS."""


def pointers_of(catalogue: Catalogue, sign: Sign | None) -> Mapping[str, bytes]:
    """All of them, by name."""
    fresh = marker(catalogue)
    files = [(file.name, file.sha256) for file in catalogue.offered] + ([(fresh, _EMPTY)] if fresh else [])
    listed = sums.sums_text(files).encode()
    return {
        **({fresh: b""} if fresh else {}),
        sums.FILE: listed,
        catalogues.FILE: catalogue.text().encode(),
        PAGE: page_text(catalogue).encode(),
        feed.FILE: feed.feed_text(catalogue).encode(),
        **dict(streams(catalogue)),
        **dict(os_lists(catalogue)),
        **dict(transfers(catalogue, signed=sign is not None)),
        **(sign(listed) if sign is not None else {}),
    }


def require_signed_on(signature: bytes | None, channel: str, sign: Sign | None) -> None:
    """Raises UsageError where clients of the channel verify the signature that it has, and nobody is to sign now."""
    if sign is None and signature is not None:
        raise UsageError(
            f"{SIGNATURE} of the channel {channel} was signed, and clients ask for it", hint="add --gpg-key KEY"
        )


def renew(session: Session, catalogue: Catalogue, sign: Sign | None, *, now: datetime, serving: ServingChange) -> bool:
    """Show the same releases, where it is said anew how they are served or how long their list is fresh; whether so."""
    if served(catalogue, serving, now) == catalogue:
        return False
    require_signed_on(session.pointer(SIGNATURE), catalogue.channel, sign)
    switch(session, catalogue, sign, now=now, serving=serving)
    return True


def switch(session: Session, catalogue: Catalogue, sign: Sign | None, *, now: datetime, serving: ServingChange) -> None:
    """Show the channel so to its clients, and read back that it is so. Raises HostError where it is not."""
    catalogue = served(catalogue, serving, now)
    pointers = pointers_of(catalogue, sign)
    session.switch(catalogue.kept, pointers)
    for name, content in pointers.items():
        if session.pointer(name) != content:
            raise HostError(f"{name} of the channel {catalogue.channel} does not read as it was written")
    lacking = [name for name in sorted(catalogue.kept) if not session.published(name)]
    if lacking:
        raise HostError(f"the channel {catalogue.channel} does not have {', '.join(lacking)}, which was written to it")
