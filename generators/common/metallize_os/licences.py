"""Which licences a package names, by its own /usr/share/doc/PACKAGE/copyright.

Machine-readable ones alone are read (Debian's copyright-format/1.0, once DEP-5): each says in the first line of a
License field what the files of its paragraph are under. What is free text names no licence that a program could know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

COPYRIGHT = re.compile(r"usr/share/doc/([a-z0-9][a-z0-9+.-]*)/copyright")
FOLDER = re.compile(r"usr/share/doc/([a-z0-9][a-z0-9+.-]*)")
MOST_BYTES = 8 << 20
"""The largest of Debian's is some 2 MiB."""
_FORMAT = re.compile(r"https?://.*(copyright-format/1\.0|dep5?\b)|.*\bdep5\b", re.IGNORECASE)
_MOST_LINKS = 8


@dataclass(kw_only=True)
class Licences:
    """What has been seen of a rootfs."""

    _named: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)

    def see(self, package: str, content: bytes) -> None:
        """A copyright file."""
        self._named[package] = licences_of(content.decode("utf-8", "replace"))

    def see_link(self, name: str, target: str) -> None:
        """A symbolic link among the documentation: of a package's folder, or of its copyright file."""
        folder = "usr/share/doc" if FOLDER.fullmatch(name) else name.rpartition("/")[0]
        path = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}"
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        self._links[name] = "/".join(parts)

    def of(self, package: str) -> tuple[str, ...] | None:
        """In the words of the file, in order; None where it is not there, or no program can read it."""
        name = f"usr/share/doc/{package}/copyright"
        for _ in range(_MOST_LINKS):
            match = COPYRIGHT.fullmatch(name)
            if match and match[1] in self._named:
                return self._named[match[1]] or None
            folder = name.rpartition("/")[0]
            if name in self._links:
                name = self._links[name]
            elif folder in self._links:
                name = f"{self._links[folder]}/copyright"
            else:
                return None
        return None


def licences_of(text: str) -> tuple[str, ...]:
    """The licences of all its paragraphs that tell of files; none where it is not machine-readable."""
    paragraphs = list(_paragraphs(text))
    if not paragraphs:
        return ()
    head, rest = paragraphs[0], paragraphs[1:]
    if _FORMAT.match(head.get("format", "") or head.get("format-specification", "")) is None:
        return ()
    names = [head.get("license", ""), *(each.get("license", "") for each in rest if "files" in each)]
    return tuple(sorted({" ".join(name.split()) for name in names if name.strip()}))


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """Fields in small letters, each with its first line; paragraphs stand apart by lines that are empty."""
    found: dict[str, str] = {}
    for line in (*text.splitlines(), ""):
        if not line.strip():
            if found:
                yield found
            found = {}
        elif line[0] not in " \t#":
            name, colon, value = line.partition(":")
            if colon:
                found[name.strip().lower()] = value.strip()


def told(packages: Iterable[dict[str, str]], licences: Licences) -> Iterator[dict[str, object]]:
    """The packages, each with its licences where they are known."""
    for package in packages:
        named = licences.of(package["name"])
        yield {**package, **({"licences": list(named)} if named is not None else {})}
