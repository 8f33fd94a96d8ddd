"""The release before, as the image that a machine is updated from: the newest of a channel with a lower version.

`boot.update.from` names the channel: its folder, or that of a destination with one channel, or its address. What comes
is held to the digests of releases.json, and that to SHA256SUMS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.build.store import sha256_by, stamp_of, write_json
from metallize.errors import HostError, UsageError
from metallize.events import Events, Note
from metallize.flash.stream import flash_stream
from metallize.model.loaded import Profile
from metallize.model.profile import ARCHITECTURES
from metallize.release import catalogue
from metallize.release.catalogue import Catalogue, Release, ReleasedImage
from metallize.release.fetching.offer import Offer, catalogue_of, sums_of
from metallize.release.fetching.origin import Origin, origin_at
from metallize.release.naming import compare

PLACE = Path(".metallize") / "before"
"""Of a build folder: of each name one image, and what is known of it."""
_PIECE_BYTES = 1 << 20
_FIRST = "the first release has none before it: verify and publish it from a profile without boot.update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A channel's folder on this host."""

    folder: Path

    @property
    def address(self) -> str:
        return str(self.folder)

    def told(self, name: str) -> str:
        return str(self.folder / name)

    def small(self, name: str, most_bytes: int) -> bytes | None:
        try:
            with (self.folder / name).open("rb") as file:
                content = file.read(most_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise HostError(f"{self.told(name)}: {exc.strerror}") from exc
        if len(content) > most_bytes:
            raise HostError(f"{self.told(name)} is larger than {most_bytes >> 20} MiB")
        return content

    def body(self, name: str, size_bytes: int) -> Iterator[bytes]:
        try:
            with (self.folder / name).open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
        except OSError as exc:
            raise HostError(
                f"{self.told(name)}: {exc.strerror}", hint=f"releases.json tells of {size_bytes} bytes there"
            ) from exc

    def bound(self) -> Mapping[str, str]:
        return {}


def with_release_before(profile: Profile, build_dir: Path, events: Events) -> Profile:
    """The same profile with an image's file in place of its channel; the image is fetched where it is not there yet.

    Raises UsageError where the channel has no release before this one, VerificationFailed or HostError where it is not
    what it was released as, or cannot be fetched.
    """
    update = profile.boot.update if profile.boot is not None else None
    if profile.boot is None or update is None:
        return profile
    offer = release_before(
        _origin(update.before, events),
        profile.output.release_name,
        profile.output.version,
        ARCHITECTURES[profile.platform],
    )
    image = _fetched(offer, build_dir / PLACE, events)
    found = update.model_copy(update={"before": str(image)})
    return replace(profile, boot=profile.boot.model_copy(update={"update": found}))


def release_before(origin: Origin, name: str, version: str | None, architecture: str) -> Offer:
    """The newest image of that name whose version is lower; of a profile that has no version yet, the newest.

    Raises UsageError where there is none, VerificationFailed where two of the channel's lists do not agree.
    """
    listed, known = sums_of(origin, None), catalogue_of(origin)
    found = next(_older(known, name, version, architecture), None)
    if found is None:
        there = ", ".join(release.key for release in known.releases)
        than = f" before {version}" if version is not None else ""
        raise UsageError(
            f"boot.update.from: {origin.address} has no release of {name} for {architecture}{than}"
            + (f", but {there}" if there else ""),
            hint=_FIRST,
        )
    release, image = found
    if listed.get(image.payload.name) != image.payload.sha256:
        raise HostError(
            f"{origin.told('SHA256SUMS')} and {catalogue.FILE} tell otherwise of {image.payload.name}",
            hint="the channel is being changed, or was tampered with: try again",
        )
    return Offer(origin=origin, key=release.key, image=image, proofs=())


def _older(
    known: Catalogue, name: str, version: str | None, architecture: str
) -> Iterator[tuple[Release, ReleasedImage]]:
    """In the catalogue's order, which begins with the newest."""
    for release in known.releases:
        if release.name == name and (version is None or compare(release.version, version) < 0):
            yield from ((release, image) for image in release.images if image.architecture == architecture)


def _origin(place: str, events: Events) -> Origin:
    if not Path(place).is_dir():
        return origin_at(place, events)[0]
    folder = Path(place)
    if (folder / catalogue.FILE).is_file():
        return Here(folder=folder)
    channels = sorted(each.parent for each in folder.glob(f"*/{catalogue.FILE}"))
    if len(channels) == 1:
        return Here(folder=channels[0])
    if channels:
        raise UsageError(
            f"boot.update.from: {place} has the channels {', '.join(each.name for each in channels)}",
            hint=f"say which: {channels[0]}",
        )
    raise UsageError(f"boot.update.from: {place} holds no releases", hint=_FIRST)


def _fetched(offer: Offer, place: Path, events: Events) -> Path:
    """The image of a release in that folder, in place of an older one's."""
    image = offer.image
    stem, _, _ = offer.key.partition("_")
    path = place / f"{offer.key}_{image.architecture}.{image.image_sha256[:16]}.{image.format}"
    paper = path.with_name(f"{path.name}.manifest.json")
    if _is_there(path, paper, image):
        return path
    try:
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob(f"{stem}_*_{image.architecture}.*"):
            old.unlink()
        events.emit(Note(text=f"the machine is updated from {offer.key}: {offer.url}"))
        flash_stream(offer.pieces(), image.image_bytes, image.image_sha256, path, events)
        write_json(paper, {"sha256": image.image_sha256, "file": stamp_of(path.stat())})
    except OSError as exc:
        raise HostError(f"{place}: {exc.strerror or exc}", hint="see df -h and the rights") from exc
    return path


def _is_there(path: Path, paper: Path, image: ReleasedImage) -> bool:
    try:
        return path.stat().st_size == image.image_bytes and sha256_by(paper, path) == image.image_sha256
    except OSError:
        return False
