"""build/nightly/kept/: the images that a later night's may be compared with, each until the next good one.

build/nightly/kept/SHA256/FILE            a hard link: where the image is in its place too, it takes no room
build/nightly/kept/SHA256/manifest.json   what it is; written last, and without it there is nothing
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path

from metallize.build.store import Store, Stored, stored_in
from metallize.night.history import FOLDER

KEPT = "kept"
_NAME = re.compile(r"[0-9a-f]{64}")


def kept_folder(build_dir: Path) -> Path:
    """Where a build folder's nights keep images."""
    return build_dir / FOLDER / KEPT


def keep(folder: Path, store: Store, sha256: str) -> Stored | None:
    """Keep the store's image with this digest; None where it has none. For whoever holds the store's lock.

    Raises OSError where it cannot be linked: the folder is on another filesystem, or full.
    """
    known = find(folder, sha256)
    if known is not None or _NAME.fullmatch(sha256) is None:
        return known
    stored = next((each for each in (store.any(), store.kept()) if each and each.sha256 == sha256), None)
    if stored is None:
        return None
    place = folder / sha256
    shutil.rmtree(place, ignore_errors=True)  # what a kill left of it
    place.mkdir(parents=True)
    return store.linked(stored, place)


def find(folder: Path, sha256: str) -> Stored | None:
    """What is kept of an image, if it is still those bytes."""
    if _NAME.fullmatch(sha256) is None:
        return None
    found = stored_in(folder / sha256)
    return found if found is not None and found.sha256 == sha256 else None


def release(folder: Path, wanted: AbstractSet[str]) -> tuple[str, ...]:
    """Let go of all that no later night is compared with; the digests of what went.

    What is in its place too takes no room, and stays: to unlink it would change what its manifest knows of the file.
    """
    gone = []
    for place in sorted(folder.glob("*")):
        if place.name not in wanted and _NAME.fullmatch(place.name) is not None and not _elsewhere_too(place):
            shutil.rmtree(place, ignore_errors=True)
            gone.append(place.name)
    return tuple(gone)


def _elsewhere_too(place: Path) -> bool:
    return any(path.lstat().st_nlink > 1 for path in place.iterdir() if path.is_file())
