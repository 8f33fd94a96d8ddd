"""Ship a verified image, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metallize import proof as proofs
from metallize.build.generator import sha256_of
from metallize.build.store import Store
from metallize.errors import HostError, VerificationFailed
from metallize.events import Level, Note
from metallize.files.json_file import read_mapping
from metallize.proof import Proof
from metallize.verify.request import VerifyRequest

_KEY = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedImage:
    """An image whose bytes held all that is asked of them on all of its machines; only `verified_image` makes one."""

    path: Path
    sha256: str
    """Of the bytes that held it; what is at the path now may be others, and is compared wherever it is copied."""
    papers: tuple[Path, ...]
    key: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.key is not _KEY:
            raise TypeError("an image is verified by its proof, and not by whoever says so")


def verified_image(store: Store, requests: Sequence[VerifyRequest] | None = None, *, hint: str) -> VerifiedImage:
    """The image in the build folder, if its proof covers what is asked: by the requests, or without any by the record.

    Raises VerificationFailed that says what is missing, with the next step.
    """
    if not store.image.is_file():
        raise VerificationFailed(f"there is no {store.image}", hint=hint)
    digest = sha256_of(store.image)
    objections = tuple(Proof.load(store.image).objections(store.image, digest, requests))
    if objections:
        raise VerificationFailed("; ".join(objections), hint=hint)
    return VerifiedImage(
        path=store.image, sha256=digest, papers=(store.manifest, proofs.record_of(store.image)), key=_KEY
    )


def standing(image: Path) -> Note:
    """What is known of an image's verification, from the record beside it."""
    proof = Proof.load(image)
    if proof.trouble:
        return Note(text=f"{image} {proof.trouble}: nothing proves that it boots", level=Level.WARNING)
    objections = tuple(proof.objections(image, sha256_of(image), None))
    if objections:
        again = f"metallize build {proof.profile} --verify" if proof.profile else "metallize build PROFILE --verify"
        return Note(text=f"{'; '.join(objections)}; next: {again}", level=Level.WARNING)
    return Note(text=f"{image} was verified on {', '.join(proof.required)}")


def publish(image: VerifiedImage, destination: Path) -> tuple[Path, ...]:
    """Copy the image and its papers to a folder, where they appear whole, and the image never without its papers.

    An image of other bytes that was there goes first, then come the papers, and the image last: whoever looks in
    between, or after a crash, finds none. Raises VerificationFailed where the copies do not belong together, HostError
    where they cannot be made.
    """
    target = destination / image.path.name
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{image.path.name}.", dir=destination) as folder:
            copies = [_copied(each, Path(folder)) for each in (image.path, *image.papers)]
            _require_one(image, *copies)
            if target.exists() and sha256_of(target) != image.sha256:
                target.unlink()
            for copy in reversed(copies):
                copy.replace(destination / copy.name)
    except OSError as exc:
        raise HostError(f"{destination}: {exc.strerror or exc}", hint="choose another destination with --to") from exc
    return (target, *(destination / paper.name for paper in image.papers))


def _copied(file: Path, folder: Path) -> Path:
    copy = Path(shutil.copyfile(file, folder / file.name))
    with copy.open("rb") as written:
        os.fsync(written.fileno())
    return copy


def _require_one(image: VerifiedImage, copy: Path, manifest: Path, record: Path) -> None:
    """Raises VerificationFailed where one of the copies tells of other bytes than those that were verified."""
    if sha256_of(copy) != image.sha256:
        raise VerificationFailed(
            f"the copy of {image.path} is not the file that was verified",
            hint="has somebody written to it meanwhile? is the destination's disk sound?",
        )
    try:
        told = read_mapping(manifest).get("sha256")
    except ValueError:
        told = None
    if told != image.sha256:
        raise VerificationFailed(f"{image.path.parent / manifest.name} does not tell of {image.path}")
    if Proof.load(copy).sha256 != image.sha256 or not Proof.load(copy).whole:
        raise VerificationFailed(f"{image.path.parent / record.name} does not tell of {image.path}")
