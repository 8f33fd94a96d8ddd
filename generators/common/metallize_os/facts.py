"""What a rootfs says of itself: its release, its packages, and which of its kernels is the newest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping


def version_key(version: str) -> tuple[tuple[int, int | str], ...]:
    """Order kernel versions as people do: 6.12.9 before 6.12.10."""
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in re.findall(r"\d+|[a-z]+", version))


def os_release(text: str) -> dict[str, str]:
    """The fields of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def installed(status: str) -> Iterable[dict[str, str]]:
    """Packages that dpkg's status file (deb(5), dpkg-query(1)) calls installed."""
    for paragraph in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" ")
        )
        if fields.get("Status", "").endswith(" installed"):
            yield {
                "name": fields.get("Package", ""),
                "version": fields.get("Version", ""),
                "architecture": fields.get("Architecture", ""),
                **_source(fields),
            }


def _source(fields: Mapping[str, str]) -> dict[str, str]:
    """deb-control(5), Source: the package itself, and its version, where nothing else is said."""
    match = re.fullmatch(r"(\S+)(?:\s+\((\S+)\))?", fields.get("Source", "").strip())
    name, version = (match[1], match[2]) if match else (fields.get("Package", ""), None)
    return {"source": name, "source_version": version or fields.get("Version", "")}
