"""What a channel offers at an address, believed as far as it is proven: by its list, by a signature, by statements."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from metallize.command import run
from metallize.errors import CommandError, HostError, UsageError, VerificationFailed
from metallize.proof import RECORD
from metallize.release import attest, catalogue, sums
from metallize.release.attest import Policy
from metallize.release.catalogue import Catalogue, Release, ReleasedFile, ReleasedImage
from metallize.release.channel.serving import PREFIX
from metallize.release.fetching.web import Web
from metallize.release.packing import Unpacker
from metallize.release.pointers import SIGNATURE

FORMATS = ("raw", "iso")
"""Of images that are written as they are; a qcow2 has to be read in another order than it comes."""
_SUFFIXES = (".raw.xz", ".iso", ".qcow2", ".vmdk", ".vhdx", ".tar")
_SMALL, _SUMS = 64 << 20, 4 << 20
_TELL = "fetch it again, or tell whoever serves it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One image, and on whose word it is the right one."""

    url: str
    key: str
    """Of its release: web_20261130.1."""
    image: ReleasedImage
    proofs: tuple[str, ...]
    """Each a sentence; without any the list of checksums alone speaks for it, which comes from the same server."""

    def pieces(self, web: Web) -> Iterator[bytes]:
        """The image itself, unpacked on the way. Raises VerificationFailed at its end, where it is another."""
        payload, digest = self.image.payload, hashlib.sha256()
        unpacker = Unpacker(most_bytes=self.image.image_bytes)
        try:
            for piece in web.body(self.url, payload.size_bytes):
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


def offer_at(address: str, web: Web, *, keyring: Path | None, policy: Policy | None) -> Offer:
    """The image at an address: of a file, or of a channel, whose latest is meant.

    `keyring` is gpg's, of whoever signs the list; `policy` says whose statements are wanted. Raises UsageError where no
    image is meant, or more than one; VerificationFailed where what is wanted is not proven.
    """
    base, name = _split(address)
    listed = _sums(base, web, keyring)
    known = _catalogue(base, web)
    release, image = _named(known, name, address) if name else _latest(known, base)
    if listed.get(image.payload.name) != image.payload.sha256:
        raise VerificationFailed(
            f"{base}/{sums.FILE} and {catalogue.FILE} tell otherwise of {image.payload.name}",
            hint="the channel is being changed, or was tampered with: try again",
        )
    if image.format not in FORMATS:
        raise UsageError(
            f"{image.payload.name} is not written to a disk as it comes", hint="fetch it, and flash the file"
        )
    proofs = [f"{base}/{sums.FILE} is signed by {keyring}"] if keyring is not None else []
    if policy is not None:
        proofs += _attested(base, image, listed, web, policy)
    url = f"{base}/{quote(image.payload.name)}"
    return Offer(url=url, key=release.key, image=image, proofs=tuple(proofs))


def _split(address: str) -> tuple[str, str]:
    """The channel's address with no slash behind, and the file's name; empty where none is named."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"{address} is no address of a release", hint="https://example.com/stable, or of a file in it")
    folder, _, last = parts.path.rpartition("/")
    is_file = last.endswith(_SUFFIXES)
    path = folder if is_file else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), "", "")), unquote(last) if is_file else ""


def _sums(base: str, web: Web, keyring: Path | None) -> Mapping[str, str]:
    content = web.small(f"{base}/{sums.FILE}", _SUMS)
    if content is None:
        raise UsageError(f"{base} has no {sums.FILE}", hint="is it the address of a channel, or of a file in one?")
    if keyring is not None:
        _require_signed(base, content, web.small(f"{base}/{SIGNATURE}", 1 << 20), keyring)
    try:
        listed = sums.read_sums(content.decode("ascii"))
    except ValueError as exc:
        raise HostError(
            f"{base}/{sums.FILE} is no list of checksums: {exc}",
            hint="does the server want a login, or send every address to its start page?",
        ) from exc
    today = datetime.now(UTC).date()
    for name in listed:
        if name.startswith(PREFIX) and _day(name.removeprefix(PREFIX)) <= today:
            raise VerificationFailed(
                f"{base}/{sums.FILE} is out of date: it lists {name}",
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
    with tempfile.TemporaryDirectory(prefix="metallize-gpg-") as home:
        plain, detached = Path(home, sums.FILE), Path(home, SIGNATURE)
        plain.write_bytes(content)
        detached.write_bytes(signature)
        argv = ["gpg", "--homedir", home, "--batch", "--no-default-keyring", "--keyring", str(keyring.absolute())]
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


def _catalogue(base: str, web: Web) -> Catalogue:
    content = web.small(f"{base}/{catalogue.FILE}", _SMALL)
    if content is None:
        raise UsageError(f"{base} has no {catalogue.FILE}", hint="flash takes what `metallize publish` has released")
    try:
        channel = json.loads(content)["channel"]
    except (ValueError, LookupError, TypeError, RecursionError):
        channel = ""
    return catalogue.read_catalogue(str(channel), content, base)


def _named(known: Catalogue, name: str, address: str) -> tuple[Release, ReleasedImage]:
    for release in known.releases:
        for image in release.images:
            if image.payload.name == name:
                return release, image
    gone = next((each for each in known.gone if name.startswith(f"{each.key}_")), None)
    why = f" any more: {gone.why}" if gone is not None else ""
    raise UsageError(f"{known.channel} does not offer {name}{why}", hint=f"see {address.rpartition('/')[0]}/index.html")


def _latest(known: Catalogue, base: str) -> tuple[Release, ReleasedImage]:
    names = {release.name: release for release in reversed(known.releases)}
    found = [(release, image) for release in names.values() for image in release.images if image.format in FORMATS]
    if not found:
        raise UsageError(f"{base} offers no image that is written to a disk as it comes")
    if len(found) > 1:
        said = "\n".join(f"  {base}/{image.payload.name}" for _, image in found)
        raise UsageError(f"{base} offers {len(found)} images; say which:\n{said}")
    return found[0]


def _attested(base: str, image: ReleasedImage, listed: Mapping[str, str], web: Web, policy: Policy) -> Iterator[str]:
    """What the statements say; they and the report are those that the list tells of."""
    with tempfile.TemporaryDirectory(prefix="metallize-statements-") as folder:
        statements, report = (
            _paper(base, image, listed, web, Path(folder), suffix) for suffix in (".intoto.jsonl", RECORD)
        )
        wanted = (image.payload.sha256, image.image_sha256)
        found = attest.verify_digests(image.payload.name, wanted, statements, report, policy)
    for each in found.statements:
        if not each.subjects.issuperset(wanted):
            raise VerificationFailed(f"on {each.machine} another image was booted than {image.payload.name} unpacks to")
        yield f"signed: it passed {each.passed} tests on {each.machine}, {each.started:%Y-%m-%d}"


def _paper(base: str, image: ReleasedImage, listed: Mapping[str, str], web: Web, folder: Path, suffix: str) -> Path:
    file: ReleasedFile | None = next((each for each in image.files if each.name.endswith(suffix)), None)
    content = web.small(f"{base}/{quote(file.name)}", _SMALL) if file is not None else None
    if file is None or content is None:
        raise VerificationFailed(f"{base} has no {suffix} of {image.payload.name}", hint="it was published unsigned")
    if hashlib.sha256(content).hexdigest() != listed.get(file.name):
        raise VerificationFailed(f"{base}/{file.name} is not the file that {sums.FILE} tells of")
    path = folder / file.name
    path.write_bytes(content)
    return path
