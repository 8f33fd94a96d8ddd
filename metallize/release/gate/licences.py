"""Licences as Debian's copyright files name them (copyright-format/1.0, 7.2), and as SPDX does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from cyclonedx.spdx import is_supported_id

UNKNOWN = "unknown"
"""What a rule says of a package whose licences no program can read."""
_SAME = {
    "Expat": "MIT", "public-domain": "", "Artistic": "Artistic-1.0", "Perl": "Artistic-1.0-Perl",
    "BSD-2-clause": "BSD-2-Clause", "BSD-3-clause": "BSD-3-Clause", "BSD-4-clause": "BSD-4-Clause",
}  # fmt: skip
"""Of what Debian calls otherwise; empty where SPDX has no name for it."""
_GNU = re.compile(r"(A?GPL|LGPL|GFDL)-([0-9](?:\.[0-9])?)(\+?)")


def spdx_id(name: str) -> str:
    """SPDX's identifier of a licence that Debian names; empty where it has none that surely means the same."""
    if match := _GNU.fullmatch(name):
        version = match[2] if "." in match[2] else f"{match[2]}.0"
        name = f"{match[1]}-{version}-{'or-later' if match[3] else 'only'}"
    else:
        name = _SAME.get(name, name)
    return name if name and is_supported_id(name) else ""


def denied(licence: str, patterns: Collection[str]) -> bool:
    """Whether the words of a copyright file leave no way but one of these licences.

    Words bind as the format has it: `and` before `or`, and a comma after both. A pattern is a shell's, for Debian's
    name or SPDX's.
    """
    return any(
        all(_any_denied(re.split(r"\s+and\s+", choice), patterns) for choice in re.split(r",?\s+or\s+", group))
        for group in re.split(r",\s*and\s+", licence)
    )


def _any_denied(names: Iterable[str], patterns: Collection[str]) -> bool:
    return any(_matches(name.strip(), patterns) for name in names)


def _matches(name: str, patterns: Collection[str]) -> bool:
    names = {name, spdx_id(name)} - {""}
    return any(fnmatchcase(each.lower(), pattern.lower()) for each in names for pattern in patterns)
