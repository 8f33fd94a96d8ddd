"""What is written anew with every switch of a channel: how clients, scripts and people find what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metallize.errors import HostError, UsageError
from metallize.release import catalogue as catalogues
from metallize.release import sums
from metallize.release.catalogue import Catalogue
from metallize.release.channel import feed
from metallize.release.channel.page import page_text
from metallize.release.destinations import Session

PAGE = "index.html"
SIGNATURE = "SHA256SUMS.gpg"
KEYRING = "import-pubring.gpg"
Sign = Callable[[bytes], Mapping[str, bytes]]
"""Gives SHA256SUMS.gpg, and the keyring that verifies it, for the content of SHA256SUMS."""


def pointers_of(catalogue: Catalogue, sign: Sign | None) -> Mapping[str, bytes]:
    """All of them, by name."""
    listed = sums.sums_text((file.name, file.sha256) for file in catalogue.offered).encode()
    return {
        sums.FILE: listed,
        catalogues.FILE: catalogue.text().encode(),
        PAGE: page_text(catalogue).encode(),
        feed.FILE: feed.feed_text(catalogue).encode(),
        **(sign(listed) if sign is not None else {}),
    }


def require_signed_on(session: Session, channel: str, sign: Sign | None) -> None:
    """Raises UsageError where clients of the channel verify a signature, and nobody is to sign now."""
    if sign is None and session.pointer(SIGNATURE) is not None:
        raise UsageError(
            f"{SIGNATURE} of the channel {channel} was signed, and clients ask for it", hint="add --gpg-key KEY"
        )


def switch(session: Session, catalogue: Catalogue, sign: Sign | None) -> None:
    """Show the channel so to its clients, and read back that it is so. Raises HostError where it is not."""
    pointers = pointers_of(catalogue, sign)
    session.switch(catalogue.kept, pointers)
    for name, content in pointers.items():
        if session.pointer(name) != content:
            raise HostError(f"{name} of the channel {catalogue.channel} does not read as it was written")
    lacking = [name for name in sorted(catalogue.kept) if not session.published(name)]
    if lacking:
        raise HostError(f"the channel {catalogue.channel} does not have {', '.join(lacking)}, which was written to it")
