"""From a release's server onto a disk, with nothing in between: `metallize flash URL`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from metallize.events import Events, Level, Note, step
from metallize.flash import Flashed, flash_stream
from metallize.release.attest import Policy
from metallize.release.fetching.offer import offered
from metallize.release.fetching.origin import origin_at
from metallize.release.keys import load_public


def fetch(
    address: str,
    target: Path,
    events: Events,
    *,
    keyring: Path | None = None,
    keys: tuple[Path, ...] = (),
    require: tuple[str, ...] = (),
    max_age: timedelta | None = None,
    any_disk: bool = False,
) -> Flashed:
    """Write the image at an address to a disk or a file, and read it back.

    `keyring` is of whoever signs the list of checksums; `keys` are of whoever states that it boots, on these machines.
    Raises UsageError, VerificationFailed where it is not what is wanted, HostError where fetching or writing fails.
    """
    public = tuple(load_public(key) for key in keys)
    policy = Policy(keys=public, require=require, max_age=max_age) if public else None
    with step(events, "look up", f"look up {address}") as handle:
        offer = offered(*origin_at(address, events), keyring=keyring, policy=policy)
        handle.detail = f"{offer.image.payload.name}, passed on {', '.join(offer.image.machines)}"
    for proof in offer.proofs:
        events.emit(Note(text=proof))
    if not offer.proofs:
        text = f"nothing but the server itself speaks for {offer.url}: --keyring or --key asks for a signature"
        events.emit(Note(text=text, level=Level.WARNING))
    image = offer.image
    return flash_stream(offer.pieces(), image.image_bytes, image.image_sha256, target, events, any_disk=any_disk)
