"""Ship a verified image, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from metallize.build.generator import sha256_of
from metallize.build.store import Store
from metallize.errors import HostError, VerificationFailed
from metallize.events import Level, Note


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedImage:
    """An image whose bytes passed a verification; only `verified_image` makes one."""

    path: Path
    sha256: str
    papers: tuple[Path, ...]


def verified_image(store: Store) -> VerifiedImage:
    """The image in the build folder, if a verification of these very bytes passed.

    Raises VerificationFailed where there is none, or where the file is not the one that was booted.
    """
    if not store.image.is_file():
        raise VerificationFailed(f"there is no {store.image} to publish", hint="metallize build PROFILE --verify")
    try:
        record = json.loads(store.verification.read_text())
    except (OSError, ValueError) as exc:
        raise VerificationFailed(
            f"{store.image} has not been verified", hint="metallize build PROFILE --verify"
        ) from exc
    if record.get("verdict") != "passed":
        raise VerificationFailed(f"{store.image} failed its verification", hint=f"see {store.verification}")
    digest = sha256_of(store.image)
    if record.get("sha256") != digest:
        raise VerificationFailed(
            f"{store.image} is not the file that was verified: its sha256 is {digest[:12]}, that one's was "
            f"{str(record.get('sha256'))[:12]}",
            hint="metallize build PROFILE --verify",
        )
    return VerifiedImage(path=store.image, sha256=digest, papers=(store.manifest, store.verification))


def standing(image: Path) -> Note:
    """What is known of an image's verification, from the record beside it."""
    record_file = image.with_name(f"{image.name}.verification.json")
    try:
        record = json.loads(record_file.read_text())
    except (OSError, ValueError):
        return Note(text=f"{image} has not been verified: nothing proves that it boots", level=Level.WARNING)
    if record.get("verdict") != "passed" or record.get("sha256") != sha256_of(image):
        return Note(text=f"{record_file} does not say that these bytes boot", level=Level.WARNING)
    machines = ", ".join(str(report["machine"]) for report in record.get("machines", ()))
    return Note(text=f"{image} was verified on {machines}")


def publish(image: VerifiedImage, destination: Path) -> tuple[Path, ...]:
    """Copy the image and its papers to a folder; the image appears there whole, with the digest that was booted."""
    try:
        destination.mkdir(parents=True, exist_ok=True)
        target = destination / image.path.name
        part = destination / f".{image.path.name}.part"
        try:
            shutil.copyfile(image.path, part)
            if sha256_of(part) != image.sha256:
                raise HostError(
                    f"{part} differs from {image.path} after copying", hint="is the destination's disk sound?"
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        copies = [Path(shutil.copyfile(paper, destination / paper.name)) for paper in image.papers]
    except OSError as exc:
        raise HostError(f"{destination}: {exc.strerror or exc}", hint="choose another destination with --to") from exc
    return (target, *copies)
