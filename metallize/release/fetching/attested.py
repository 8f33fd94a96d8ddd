"""Whether what is published boots, judged where it is: of each image no more is fetched than its papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.events import Events
from metallize.release import sums
from metallize.release.attest import Attested, Policy
from metallize.release.fetching.offer import catalogue_of, stated, sums_of
from metallize.release.fetching.origin import SUFFIXES, Origin, origin_at


def attested_at(
    address: str, events: Events, policy: Policy, *, keyring: Path | None = None
) -> Iterator[tuple[str, Attested]]:
    """The address of each image that is meant, and what is proven of it, by the sha256 that is told of it there.

    An address means a file, or the images of a release in a registry, or of the latest releases of a channel. Raises
    VerificationFailed where that is not what is wanted, UsageError where no image is meant.
    """
    origin, name = origin_at(address, events)
    bound = origin.bound()
    is_release = bool(bound) and sums.FILE not in bound
    if is_release and keyring is not None:
        raise UsageError(
            f"{origin.address} is a release, which has no list that is signed",
            hint="name the channel: --keyring is of its",
        )
    listed = _readable(origin, bound) if is_release else sums_of(origin, keyring)
    names = [name] if name else sorted(_payloads(listed) if is_release else _latest(origin))
    if not names or names[0] not in listed:
        raise UsageError(
            f"{origin.address} has no {name or 'image'}", hint="metallize releases DEST tells what there is"
        )
    for each in names:
        if bound and bound.get(each) != listed[each]:
            raise VerificationFailed(f"{origin.told(each)} is not the file that {sums.FILE} tells of")
        yield origin.told(each), stated(origin, each, (listed[each],), listed, policy)


def _readable(origin: Origin, bound: Mapping[str, str]) -> Mapping[str, str]:
    """Names that a list may have, as a registry's manifest may have any."""
    try:
        return sums.read_sums(sums.sums_text(bound.items()))
    except ValueError as exc:
        raise HostError(f"{origin.address}: {exc}", hint="it is no release that metallize made") from exc


def _payloads(listed: Mapping[str, str]) -> Iterator[str]:
    return (name for name in listed if name.endswith(SUFFIXES))


def _latest(origin: Origin) -> Iterator[str]:
    names = {release.name: release for release in reversed(catalogue_of(origin).releases)}
    return (image.payload.name for release in names.values() for image in release.images)
