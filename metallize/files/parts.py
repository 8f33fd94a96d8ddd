"""Parts of an image that are files of their own in its release: what a machine that has the image is updated by.

Their bytes are those of the image that was booted, cut out of it by the places that its manifest tells of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from metallize.errors import HostError
from metallize.files.json_file import as_mapping, as_text

_SUFFIX = re.compile(r"[_.][0-9A-Za-z._-]{1,80}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where one is in the image, in bytes."""

    suffix: str
    """What its name ends with, after the image's name, version and architecture."""
    offset: int
    size_bytes: int
    sha256: str

    def copy(self, image: Path, target: BinaryIO) -> None:
        """Write it to a file. Raises HostError where the image cannot be read so far."""
        left = self.size_bytes
        try:
            with image.open("rb") as source:
                source.seek(self.offset)
                while left:
                    piece = source.read(min(left, _CHUNK))
                    if not piece:
                        raise HostError(f"{image} ends before its part {self.suffix} does", hint="build it again")
                    target.write(piece)
                    left -= len(piece)
        except OSError as exc:
            raise HostError(f"{image}: {exc.strerror}") from exc


def parts_of(manifest: Mapping[str, Any], where: Path) -> tuple[Part, ...]:
    """Those that the manifest tells of; none of most images. Raises HostError for what is no part."""
    try:
        found = tuple(_part(as_mapping(each)) for each in manifest.get("parts", ()))
    except (ValueError, LookupError, TypeError) as exc:
        raise HostError(f"{where} does not tell where the image's parts are: {exc}", hint="build it again") from exc
    if len({part.suffix for part in found}) != len(found):
        raise HostError(f"{where} tells of two parts of one name", hint="build it again")
    return found


def _part(told: Mapping[str, Any]) -> Part:
    part = Part(
        suffix=as_text(told["suffix"]),
        offset=int(told["offset"]),
        size_bytes=int(told["size"]),
        sha256=as_text(told["sha256"]),
    )
    if _SUFFIX.fullmatch(part.suffix) is None or _DIGEST.fullmatch(part.sha256) is None:
        raise ValueError(f"{part.suffix!r} is no suffix of a name, or {part.sha256!r} no digest")
    if part.offset < 0 or part.size_bytes <= 0:
        raise ValueError(f"{part.size_bytes} bytes at {part.offset} are nowhere in an image")
    return part
