"""What is known of an image: build/nightly/images/SHA256.json, of its manifest and of what its boots showed.

What nobody saw is None, and not an empty set: it can differ from nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from metallize.files.json_file import as_mapping, as_text, read_mapping
from metallize.report.files import write_whole

IMAGES = "images"
_NAME = re.compile(r"[0-9a-f]{64}")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the boots of an image on one machine showed; of several boots everything that any of them did."""

    failed: frozenset[str] | None = None
    """Units that had failed."""
    warnings: frozenset[str] | None = None
    """Lines of the console that warn, normalised."""
    ports: frozenset[str] | None = None
    """Where something listens: tcp:22."""

    def with_(self, other: Seen) -> Seen:
        """Both together."""
        return Seen(
            failed=_union(self.failed, other.failed),
            warnings=_union(self.warnings, other.warnings),
            ports=_union(self.ports, other.ports),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One image."""

    sha256: str
    size_bytes: int = 0
    rootfs_bytes: int = 0
    kernel: str = ""
    packages: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """Versions by name, and by name:architecture where a name is there for several."""
    layers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """Digests by name."""
    seen: Mapping[str, Seen] = field(default_factory=lambda: _EMPTY)
    """By machine."""

    def with_(self, other: ImageFacts) -> ImageFacts:
        """The same image, with what else is known of it."""
        richer = other if len(other.packages) >= len(self.packages) else self
        machines = {*self.seen, *other.seen}
        seen = {name: self.seen.get(name, Seen()).with_(other.seen.get(name, Seen())) for name in sorted(machines)}
        return replace(richer, seen=MappingProxyType(seen))


def facts_of(sha256: str, manifest: Mapping[str, Any]) -> ImageFacts:
    """What a manifest tells of the image; what it has otherwise than expected is left out."""
    return ImageFacts(
        sha256=sha256,
        size_bytes=_count(manifest.get("size")),
        rootfs_bytes=_count(manifest.get("rootfs_bytes")),
        kernel=str(manifest.get("kernel") or ""),
        packages=_packages(manifest.get("packages")),
        layers=MappingProxyType(
            {str(each["name"]): str(each["digest"])[:19] for each in _rows(manifest.get("layers"), "name", "digest")}
        ),
    )


def facts_folder(build_dir: Path) -> Path:
    """Where a build folder has what is known of its images."""
    return build_dir / "nightly" / IMAGES


def write_facts(folder: Path, facts: ImageFacts) -> None:
    """Add what is known of an image to what was known; nothing for an image that has no digest."""
    if _NAME.fullmatch(facts.sha256) is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{facts.sha256}.json"
    known = read_facts(folder, facts.sha256)
    whole = facts if known is None else known.with_(facts)
    if whole != known:
        write_whole(path, json.dumps(_plain(whole), sort_keys=True, indent=1) + "\n")


def read_facts(folder: Path, sha256: str) -> ImageFacts | None:
    """What is known of an image; None where nothing is, or where the file cannot be read."""
    if _NAME.fullmatch(sha256) is None:
        return None
    try:
        data = read_mapping(folder / f"{sha256}.json")
        return ImageFacts(
            sha256=as_text(data["sha256"]),
            size_bytes=_count(data.get("size")),
            rootfs_bytes=_count(data.get("rootfs_bytes")),
            kernel=str(data.get("kernel", "")),
            packages=_words(data.get("packages", {})),
            layers=_words(data.get("layers", {})),
            seen=MappingProxyType({str(name): _seen(each) for name, each in as_mapping(data.get("seen", {})).items()}),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def merge_facts(folder: Path, others: Iterable[Path]) -> int:
    """Take in what other folders know of images; how many of them."""
    count = 0
    for other in others:
        for path in sorted(other.glob("*.json")):
            facts = read_facts(other, path.stem)
            if facts is not None:
                write_facts(folder, facts)
                count += 1
    return count


def _plain(facts: ImageFacts) -> dict[str, Any]:
    return {
        "sha256": facts.sha256,
        "size": facts.size_bytes,
        "rootfs_bytes": facts.rootfs_bytes,
        "kernel": facts.kernel,
        "packages": dict(facts.packages),
        "layers": dict(facts.layers),
        "seen": {
            machine: {
                name: sorted(found)
                for name in ("failed", "warnings", "ports")
                if (found := getattr(seen, name)) is not None
            }
            for machine, seen in facts.seen.items()
        },
    }


def _seen(value: object) -> Seen:
    data = as_mapping(value)
    return Seen(**{name: _set(data.get(name)) for name in ("failed", "warnings", "ports")})


def _set(value: object) -> frozenset[str] | None:
    return frozenset(map(str, value)) if isinstance(value, list) else None


def _union(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one | other


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _words(value: object) -> Mapping[str, str]:
    return MappingProxyType({str(name): str(word) for name, word in as_mapping(value).items()})


def _rows(value: object, *names: str) -> list[Mapping[str, Any]]:
    rows = value if isinstance(value, list) else []
    return [each for each in rows if isinstance(each, dict) and all(name in each for name in names)]


def _packages(value: object) -> Mapping[str, str]:
    rows = [
        (str(each["name"]), str(each["version"]), str(each.get("architecture", "")))
        for each in _rows(value, "name", "version")
    ]
    names = [name for name, _, _ in rows]
    several = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return MappingProxyType({f"{name}:{arch}" if name in several else name: version for name, version, arch in rows})
