"""The images in a build folder, in their places and kept aside, with what is known of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from metallize.build.store import Store, Stored
from metallize.files.json_file import read_mapping
from metallize.proof import RECORD, Proof, runs_in

MANIFEST = ".manifest.json"
PRIVATE = ".metallize"
KEPT = ".kept"


class Standing(StrEnum):
    """What is known of an image, by the record beside it."""

    VERIFIED = "verified"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """It passed on some of its machines, and was not booted on the others."""
    OUTDATED = "outdated"
    """It passed before other rules than today's."""
    UNVERIFIED = "not verified"
    CHANGED = "changed"
    """It is not the file that its manifest tells of."""
    GONE = "gone"
    """Its manifest is there, and it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFound:
    """One image."""

    path: Path
    kept: bool
    """Kept aside: it has not passed everywhere yet."""
    standing: Standing
    why: str = ""
    """What keeps it from being a verified one."""
    machines: tuple[str, ...] = ()
    """On which it has passed."""
    profile: str = ""
    """That asked for it, as far as the record says."""
    sha256: str = ""
    size_bytes: int = 0
    made: datetime | None = None


def images_of(build_dir: Path) -> tuple[ImageFound, ...]:
    """Every image that a manifest tells of, by name. A file that was touched since is hashed, which takes a while."""
    found = [_image(build_dir, name, kept=False) for name in _files(build_dir, MANIFEST)]
    found += [_image(build_dir, name, kept=True) for name in _files(build_dir / PRIVATE, KEPT)]
    return tuple(sorted(found, key=lambda image: (image.path.name, image.kept)))


def _files(folder: Path, suffix: str) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are wanted
    except OSError:
        return []
    return [name.removesuffix(suffix) for name in names if name.endswith(suffix) and not name.startswith(".")]


def _image(build_dir: Path, name: str, *, kept: bool) -> ImageFound:
    store = Store(build_dir=build_dir, file=name)
    path = build_dir / PRIVATE / f"{name}{KEPT}" / name if kept else store.image
    manifest = path.parent / "manifest.json" if kept else store.manifest
    stored = store.kept() if kept else store.any()
    try:
        info = path.stat()
    except OSError:
        return ImageFound(path=path, kept=kept, standing=Standing.GONE, why=f"{manifest} tells of it")
    made = datetime.fromtimestamp(info.st_mtime, UTC)
    if stored is None:
        return ImageFound(
            path=path,
            kept=kept,
            standing=Standing.CHANGED,
            why=f"it is not the file that {manifest} tells of",
            size_bytes=info.st_size,
            made=made,
        )
    proof = Proof.load(path)
    standing, why = _standing(proof, stored)
    known = proof.sha256 == stored.sha256
    return ImageFound(
        path=path,
        kept=kept,
        standing=standing,
        why=why,
        machines=tuple(name for name, boot in proof.boots.items() if boot.passed) if known else (),
        profile=proof.profile if known else "",
        sha256=stored.sha256,
        size_bytes=info.st_size,
        made=made,
    )


def _standing(proof: Proof, stored: Stored) -> tuple[Standing, str]:
    """What the record makes of the bytes that the manifest tells of."""
    objections = tuple(proof.objections(Path(stored.path.name), stored.sha256, None))
    if not objections:
        return Standing.VERIFIED, ""
    why = "; ".join(objections)
    if proof.trouble or proof.sha256 != stored.sha256 or not proof.boots:
        return Standing.UNVERIFIED, why
    if proof.verdict == "failed":
        return Standing.FAILED, why
    return (Standing.OUTDATED if proof.verdict == "passed" else Standing.INCOMPLETE), why


def evidence_of(build_dir: Path) -> frozenset[Path]:
    """The run folders that the records of images name."""
    return runs_in([*build_dir.glob(f"*{RECORD}"), *build_dir.glob(f"{PRIVATE}/*{KEPT}/*{RECORD}")])


def layer_tags_of(build_dir: Path) -> frozenset[str]:
    """The tags of the layers that the images here, and those kept aside, stand on."""
    papers = [*build_dir.glob(f"*{MANIFEST}"), *build_dir.glob(f"{PRIVATE}/*{KEPT}/manifest.json")]
    found: set[str] = set()
    for paper in papers:
        try:
            layers = read_mapping(paper).get("layers")
        except (OSError, ValueError):
            continue
        found |= (
            {str(each.get("tag")) for each in layers if isinstance(each, dict)} if isinstance(layers, list) else set()
        )
    return frozenset(found)
