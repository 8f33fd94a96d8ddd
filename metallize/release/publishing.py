"""From verified images to a release that clients see: files first, then papers, and the channel at once at the end."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO

from metallize.errors import HostError, UsageError, VerificationFailed
from metallize.events import Events, Note, StepHandle, step
from metallize.files.parts import parts_of
from metallize.meter import Meter
from metallize.model.profile import ARCHITECTURES
from metallize.model.rules import ReleaseRules
from metallize.release import naming, packing
from metallize.release.catalogue import FILE, Catalogue, Gone, Release, ReleasedFile, ReleasedImage, read_catalogue
from metallize.release.channel.page import size_text
from metallize.release.channel.serving import ServingChange
from metallize.release.curating import taken
from metallize.release.destinations import Destination, Session
from metallize.release.gate import before as history
from metallize.release.gate import rules
from metallize.release.packing import Content
from metallize.release.papers.beside import lxd_metadata, papers_beside
from metallize.release.pointers import SIGNATURE, Sign, renew, require_signed_on, switch
from metallize.release.retention import Retention, moment, retained
from metallize.release.statement import Signed
from metallize.release.wares import Papers, Ware, papers_of, require_one_release

Attest = Callable[[Ware, Papers, str, Content, Sequence[str]], Signed]
"""The signed statements of an image, given the name of the shipped file, what it holds, and what was overruled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a release is made."""

    channel: str
    level: int = packing.LEVEL
    """Of xz."""
    retention: Retention = field(default_factory=Retention)
    sign: Sign | None = None
    attest: Attest | None = None
    serving: ServingChange = field(default_factory=ServingChange)
    """How the channel is served; what is not said stays as it was."""
    waive: frozenset[str] = frozenset()
    """Rules of the profile that are overruled: names as model/rule_names.py has them."""
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What else is known against images and was accepted, by their digests: told with what is waived."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The one time that a release says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What came of it."""

    release: Release
    place: str
    """Where it is: the destination and the channel."""
    new: bool
    """False where the channel offered the same images already."""


def publish(wares: Sequence[Ware], destination: Destination, events: Events, terms: Terms) -> Published:
    """Release the images under one version, and nothing of it where one cannot be.

    Raises VerificationFailed where what is written is not what was verified, UsageError for a version that is taken,
    HostError where the destination fails; what is written by then is kept, unseen, for the next attempt.
    """
    name, version = require_one_release(tuple(wares))
    naming.require_channel(terms.channel)
    if version is not None:
        naming.require_version(version)
    papers = [papers_of(ware) for ware in wares]
    place = f"{destination.place}/{terms.channel}"
    with destination.session(terms.channel, events) as session:
        catalogue = read_catalogue(terms.channel, session.pointer(FILE), place)
        others = _elsewhere(destination, terms.channel)
        same = _same(catalogue, name, version, wares)
        if same is not None:
            events.emit(Note(text=f"{terms.channel} offers these images already, as {same.key}"))
            renew(session, catalogue, terms.sign, now=terms.now, serving=terms.serving)
            return Published(release=same, place=place, new=False)
        require_signed_on(session.pointer(SIGNATURE), terms.channel, terms.sign)
        known = next((found for other in others if (found := _same(other, name, version, wares)) is not None), None)
        version = known.version if known is not None else version or _next(name, terms, catalogue, *others)
        _require_free(name, version, wares, catalogue, *others)
        waived = [
            _judged(session, ware, paper, history.before(catalogue, name, version), terms)
            for ware, paper in zip(wares, papers, strict=True)
        ]
        if known is not None:
            [source, *_] = [other.channel for other in others if known in other.releases]
            events.emit(Note(text=f"{source} offers these images already, as {known.key}: they are taken from there"))
            images = taken(session, known, source, events)
        else:
            images = tuple(
                _released(session, ware, paper, version, events, terms, waived=each)
                for ware, paper, each in zip(wares, papers, waived, strict=True)
            )
        overruled = tuple(
            dict.fromkeys([*(known.waived if known else ()), *(text for each in waived for text in each)])
        )
        release = Release(name=name, version=version, published=moment(terms.now), images=images, waived=overruled)
        release = replace(release, changes=history.changes(session, catalogue, release))
        with step(events, "release switch", f"show {release.key} in {terms.channel}"):
            shown = retained(catalogue.with_release(release), terms.retention, terms.now)
            switch(session, shown, terms.sign, now=terms.now, serving=terms.serving)
    return Published(release=release, place=place, new=True)


def _elsewhere(destination: Destination, channel: str) -> tuple[Catalogue, ...]:
    return tuple(
        read_catalogue(each, destination.pointer(each, FILE), f"{destination.place}/{each}")
        for each in destination.channels()
        if each != channel
    )


def _same(catalogue: Catalogue, name: str, version: str | None, wares: Sequence[Ware]) -> Release | None:
    """The release of these very images that is there, under the version that is asked for if one is."""
    wanted = _digests(wares)
    for release in catalogue.releases:
        if release.name == name and release.digests == wanted and version in (None, release.version):
            return release
    return None


def _digests(wares: Sequence[Ware]) -> frozenset[tuple[str, str, str]]:
    return frozenset((ware.name, str(ware.format), ware.image.sha256) for ware in wares)


def _next(name: str, terms: Terms, *catalogues: Catalogue) -> str:
    known: list[Release | Gone] = []
    for catalogue in catalogues:
        known += [*catalogue.releases, *catalogue.gone]
    return naming.next_version(terms.now.astimezone(UTC).date(), [each.version for each in known if each.name == name])


def _require_free(name: str, version: str, wares: Sequence[Ware], *catalogues: Catalogue) -> None:
    """Raises UsageError where the version is known for other bytes: a name that was published never changes."""
    key = f"{name}_{version}"
    for catalogue in catalogues:
        there: list[Release | Gone] = [*catalogue.releases, *catalogue.gone]
        for each in there:
            if each.key != key or (isinstance(each, Release) and each.digests == _digests(wares)):
                continue
            why = "has other images" if isinstance(each, Release) else f"is gone ({each.why})"
            raise UsageError(
                f"{key} is taken: the release of that name in {catalogue.channel} {why}",
                hint="give output.version another value, or none for the day's next one",
            )


def _judged(session: Session, ware: Ware, papers: Papers, before: Release | None, terms: Terms) -> tuple[str, ...]:
    """What the profile's rules have against an image, and is overruled."""
    image = history.counterpart(before, ware.name, ARCHITECTURES[ware.platform], str(ware.format))
    old = None
    if image is not None and ware.rules != ReleaseRules():
        old = rules.Told(manifest=history.manifest_of(session, image), record=history.record_of(session, image))
    new = rules.Told(manifest=papers.manifest, record=papers.record_told)
    since = before.key if before is not None else ""
    try:
        found = tuple(rules.objections(ware.rules, old, new, since=since))
    except (ValueError, LookupError, TypeError) as exc:
        raise HostError(
            f"the rules of {ware.profile} cannot be judged, because a manifest does not tell enough: {exc!r}",
            hint="build it again with this metallize",
        ) from exc
    waived = rules.require_allowed(found, terms.waive, ware.image.path.name)
    return (*waived, *terms.accepted.get(ware.image.sha256, ()))


def _released(
    session: Session, ware: Ware, papers: Papers, version: str, events: Events, terms: Terms, *, waived: Sequence[str]
) -> ReleasedImage:
    """Write one image and its papers, and read them back."""
    base = naming.stem(ware.name, version, ware.platform, ware.format)
    payload = f"{base}{packing.packed_suffix(ware.format)}"
    metadata = lxd_metadata(ware, papers, version)
    content = _shipped(session, ware, payload, events, terms, before=metadata)
    files = [ReleasedFile(name=payload, size_bytes=content.size_bytes, sha256=content.sha256)]
    files += [
        _written(session, name, text) for name, text in papers_beside(base, ware, papers, version, content, metadata)
    ]
    files += _parts(session, ware, papers, version, events)
    if terms.attest is not None:
        signed = terms.attest(ware, papers, payload, content, waived)
        files.append(_written(session, f"{base}.intoto.jsonl", signed.lines))
        files += [
            _written(session, f"{base}.{naming.part(name)}sigstore.json", text) for name, text in signed.bundles.items()
        ]
    boots = [papers.proof.boots[each] for each in papers.proof.required]
    return ReleasedImage(
        name=ware.name,
        architecture=ARCHITECTURES[ware.platform],
        format=str(ware.format),
        image_sha256=ware.image.sha256,
        image_bytes=content.image_bytes,
        machines=tuple(sorted(papers.proof.required)),
        verified=max(str(boot.report.get("started", "")) for boot in boots),
        files=tuple(files),
        system=papers.system,
        firmware=papers.firmware,
        combined_sha256=content.combined_sha256,
    )


def _shipped(session: Session, ware: Ware, name: str, events: Events, terms: Terms, *, before: bytes) -> Content:
    """The payload, in its place and read back; what a killed attempt has left is taken where it is right."""
    if session.whole(name):
        content = _content(session, name, events, before)
        if content is not None and content.image_sha256 == ware.image.sha256:
            return content
        if session.published(name):
            raise HostError(f"{name} is published already and holds other bytes", hint="choose another output.version")
        events.emit(Note(text=f"{name} from an earlier attempt is not this image; it is made again"))
        session.discard(name)
    packed = bool(packing.packed_suffix(ware.format))
    with step(events, f"release {name}", f"write {name}") as handle:
        size = ware.image.path.stat().st_size if ware.image.path.exists() else 0
        session.put(name, lambda file: _fill(ware, file, handle, packed=packed, level=terms.level), size)
    content = _content(session, name, events, before)
    if content is None or content.image_sha256 != ware.image.sha256:
        session.discard(name)
        raise VerificationFailed(
            f"{name} does not read back as the image that was verified", hint="is the destination's disk sound?"
        )
    return content


def _fill(ware: Ware, file: BinaryIO, handle: StepHandle, *, packed: bool, level: int) -> None:
    try:
        source = ware.image.path.open("rb")
    except OSError as exc:
        raise HostError(f"{ware.image.path}: {exc.strerror}") from exc
    with source:
        meter = Meter(handle, ware.image.path.stat().st_size)
        digest = packing.pack(source, file, packed=packed, level=level, seen=meter.at)
        handle.detail = size_text(file.tell())
    if digest != ware.image.sha256:
        raise VerificationFailed(
            f"{ware.image.path} is not the file that was verified", hint="has somebody written to it meanwhile?"
        )


def _content(session: Session, name: str, events: Events, before: bytes) -> Content | None:
    """What the file holds; None where it is damaged."""
    with step(events, f"read {name}", f"read back {name}") as handle, session.read(name) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        try:
            return packing.read_back(file, Meter(handle, size).at, before=before)
        except ValueError:
            return None


def _parts(session: Session, ware: Ware, papers: Papers, version: str, events: Events) -> Iterator[ReleasedFile]:
    """What machines are updated by, cut out of the image that was booted, and read back."""
    whole = f"{ware.name}_{version}_{ARCHITECTURES[ware.platform]}"
    for part in parts_of(papers.manifest, ware.image.papers[0]):
        name = f"{whole}{part.suffix}"
        if session.published(name):
            raise HostError(f"{name} is published already", hint="choose another output.version")
        if session.whole(name):
            session.discard(name)  # what a killed attempt has left may be anything
        with step(events, f"release {name}", f"write {name}") as handle:
            session.put(name, partial(part.copy, ware.image.path), part.size_bytes)
            handle.detail = size_text(part.size_bytes)
        with session.read(name) as file:
            digest = packing.digest_of(file)
        if digest != part.sha256:
            session.discard(name)
            raise VerificationFailed(
                f"{name} does not read back as that part of the image that was verified",
                hint="is the destination's disk sound?",
            )
        yield ReleasedFile(name=name, size_bytes=part.size_bytes, sha256=part.sha256)


def _written(session: Session, name: str, content: bytes) -> ReleasedFile:
    """A small file in its place, made anew where an earlier attempt has left another."""
    if session.published(name):
        raise HostError(f"{name} is published already", hint="choose another output.version")
    session.put(name, lambda file: shutil.copyfileobj(io.BytesIO(content), file))
    with session.read(name) as file:
        if file.read() != content:
            raise HostError(f"{name} does not read as it was written", hint="is the destination's disk sound?")
    return ReleasedFile(name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
