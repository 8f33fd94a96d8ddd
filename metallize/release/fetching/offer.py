"""What a channel offers at an address, believed as far as it is proven: by its list, by a signature, by statements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from metallize.command import run
from metallize.errors import CommandError, HostError, UsageError, VerificationFailed
from metallize.files.vanishing import scratch_folder
from metallize.release import attest, catalogue, sums
from metallize.release.attest import Policy
from metallize.release.catalogue import Catalogue, Release, ReleasedImage
from metallize.release.channel.serving import PREFIX
from metallize.release.fetching.origin import Origin
from metallize.release.packing import Unpacker
from metallize.release.pointers import SIGNATURE

FORMATS = ("raw", "iso")
"""Of images that are written as they are; a qcow2 has to be read in another order than it comes."""
_SMALL, _SUMS = 64 << 20, 4 << 20
_TELL = "fetch it again, or tell whoever serves it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One image, and on whose word it is the right one."""

    origin: Origin
    key: str
    """Of its release: web_20261130.1."""
    image: ReleasedImage
    proofs: tuple[str, ...]
    """Each a sentence; without any the list of checksums alone speaks for it, which comes from the same server."""

    @property
    def url(self) -> str:
        return self.origin.told(self.image.payload.name)

    def pieces(self) -> Iterator[bytes]:
        """The image itself, unpacked on the way. Raises VerificationFailed at its end, where it is another."""
        payload, digest = self.image.payload, hashlib.sha256()
        unpacker = Unpacker(most_bytes=self.image.image_bytes)
        try:
            for piece in self.origin.body(payload.name, payload.size_bytes):
                digest.update(piece)
                yield from unpacker.add(piece)
            unpacker.end()
        except ValueError as exc:
            raise VerificationFailed(f"{self.url} is damaged: {exc}", hint=_TELL) from exc
        if digest.hexdigest() != payload.sha256:
            raise VerificationFailed(
                f"{self.url} is not the file that was released: its sha256 is {digest.hexdigest()[:12]}, "
                f"that one's {payload.sha256[:12]}",
                hint=f"it was changed on the server or on the way: {_TELL}",
            )


def offered(origin: Origin, name: str, *, keyring: Path | None, policy: Policy | None) -> Offer:
    """The image of that name in a channel; without a name the channel's latest.

    `keyring` is gpg's, of whoever signs the list; `policy` says whose statements are wanted. Raises UsageError where no
    image is meant, or more than one; VerificationFailed where what is wanted is not proven.
    """
    listed = sums_of(origin, keyring)
    known = catalogue_of(origin)
    release, image = _named(known, name, origin.address) if name else _latest(known, origin)
    if listed.get(image.payload.name) != image.payload.sha256:
        raise VerificationFailed(
            f"{origin.told(sums.FILE)} and {catalogue.FILE} tell otherwise of {image.payload.name}",
            hint="the channel is being changed, or was tampered with: try again",
        )
    if image.format not in FORMATS:
        raise UsageError(
            f"{image.payload.name} is not written to a disk as it comes", hint="fetch it, and flash the file"
        )
    proofs = [signed_by(origin, keyring)] if keyring is not None else []
    if policy is not None:
        proofs += _attested(origin, image, listed, policy)
    return Offer(origin=origin, key=release.key, image=image, proofs=tuple(proofs))


def signed_by(origin: Origin, keyring: Path) -> str:
    """The sentence of a list whose signature was verified."""
    return f"{origin.told(sums.FILE)} is signed by {keyring}"


def sums_of(origin: Origin, keyring: Path | None) -> Mapping[str, str]:
    """The sha256 of every file that a channel lists, by its name.

    Raises VerificationFailed where its time is over, or the list is not signed by a key of the keyring that is given.
    """
    content = origin.small(sums.FILE, _SUMS)
    if content is None:
        raise UsageError(
            f"{origin.address} has no {sums.FILE}", hint="is it the address of a channel, or of a file in one?"
        )
    if keyring is not None:
        _require_signed(origin.address, content, origin.small(SIGNATURE, 1 << 20), keyring)
    told = origin.told(sums.FILE)
    try:
        listed = sums.read_sums(content.decode("ascii"))
    except ValueError as exc:
        raise HostError(
            f"{told} is no list of checksums: {exc}",
            hint="does the server want a login, or send every address to its start page?",
        ) from exc
    today = datetime.now(UTC).date()
    for name in listed:
        if name.startswith(PREFIX) and _day(name.removeprefix(PREFIX)) <= today:
            raise VerificationFailed(
                f"{told} is out of date: it lists {name}",
                hint="whoever publishes has to renew it, or somebody withholds newer releases",
            )
    return listed


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:  # systemd passes over it as well
        return date.max


def _require_signed(base: str, content: bytes, signature: bytes | None, keyring: Path) -> None:
    if signature is None:
        raise VerificationFailed(f"{base} has no {SIGNATURE}: its list is not signed", hint="ask who publishes it")
    if not keyring.is_file():
        raise UsageError(f"{keyring}: there is no such keyring", hint="the signer's, as import-pubring.gpg is one")
    with scratch_folder("metallize-gpg-") as home:
        plain, detached = Path(home, sums.FILE), Path(home, SIGNATURE)
        plain.write_bytes(content)
        detached.write_bytes(signature)
        argv: list[str | Path] = [
            "gpg",
            "--homedir",
            home,
            "--batch",
            "--no-default-keyring",
            "--keyring",
            str(keyring.absolute()),
        ]
        try:
            done = run([*argv, "--trust-model", "always", "--status-fd", "1", "--verify", detached, plain])
        except CommandError as exc:
            raise VerificationFailed(
                f"{base}/{SIGNATURE} is no signature of this list by a key of {keyring}",
                hint="is it the signer's keyring? else somebody has changed the list",
            ) from exc
        if "[GNUPG:] GOODSIG " not in done.stdout:  # of an expired or a revoked key gpg ends with 0 too
            why = f"{base}/{SIGNATURE} is of a key that is no longer valid"
            raise VerificationFailed(why, hint="ask whoever publishes it for their new one")


def catalogue_of(origin: Origin) -> Catalogue:
    """What a channel tells of itself. Raises UsageError where there is none."""
    content = origin.small(catalogue.FILE, _SMALL)
    if content is None:
        raise UsageError(
            f"{origin.address} has no {catalogue.FILE}", hint="flash takes what `metallize publish` has released"
        )
    try:
        channel = json.loads(content)["channel"]
    except (ValueError, LookupError, TypeError, RecursionError):
        channel = ""
    return catalogue.read_catalogue(str(channel), content, origin.address)


def _named(known: Catalogue, name: str, address: str) -> tuple[Release, ReleasedImage]:
    for release in known.releases:
        for image in release.images:
            if image.payload.name == name:
                return release, image
    gone = next((each for each in known.gone if name.startswith(f"{each.key}_")), None)
    why = f" any more: {gone.why}" if gone is not None else ""
    raise UsageError(f"{known.channel} does not offer {name}{why}", hint=f"see {address}/index.html")


def _latest(known: Catalogue, origin: Origin) -> tuple[Release, ReleasedImage]:
    names = {release.name: release for release in reversed(known.releases)}
    found = [(release, image) for release in names.values() for image in release.images if image.format in FORMATS]
    if not found:
        raise UsageError(f"{origin.address} offers no image that is written to a disk as it comes")
    if len(found) > 1:
        said = "\n".join(f"  {origin.told(image.payload.name)}" for _, image in found)
        raise UsageError(f"{origin.address} offers {len(found)} images; say which:\n{said}")
    return found[0]


def _attested(origin: Origin, image: ReleasedImage, listed: Mapping[str, str], policy: Policy) -> Iterator[str]:
    """What the statements say; they and the report are those that the list tells of."""
    wanted = (image.payload.sha256, image.image_sha256)
    found = stated(origin, image.payload.name, wanted, listed, policy)
    for each in found.statements:
        if not each.subjects.issuperset(wanted):
            raise VerificationFailed(f"on {each.machine} another image was booted than {image.payload.name} unpacks to")
        yield f"signed: it passed {each.passed} tests on {each.machine}, {each.started:%Y-%m-%d}"


def stated(
    origin: Origin, name: str, digests: Iterable[str], listed: Mapping[str, str], policy: Policy
) -> attest.Attested:
    """What the statements beside a file say of it. Raises VerificationFailed where that is not what is wanted."""
    with scratch_folder("metallize-statements-") as folder:
        beside = attest.statements_beside(Path(name)), attest.report_beside(Path(name))
        statements, report = (_paper(origin, name, each.name, listed, Path(folder)) for each in beside)
        return attest.verify_digests(origin.told(name), digests, statements, report, policy)


def _paper(origin: Origin, image: str, name: str, listed: Mapping[str, str], folder: Path) -> Path:
    content = origin.small(name, _SMALL) if name in listed else None
    if content is None:
        raise VerificationFailed(f"{origin.address} has no {name}, beside {image}", hint="it was published unsigned")
    if hashlib.sha256(content).hexdigest() != listed[name]:
        raise VerificationFailed(f"{origin.told(name)} is not the file that {sums.FILE} tells of")
    path = folder / name
    path.write_bytes(content)
    return path
