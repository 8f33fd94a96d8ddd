"""SHA256SUMS, as sha256sum(1) writes it and systemd-sysupdate(8) and systemd-pull read it: each line 64 hexadecimal
digits, two spaces and a name with no slash and nothing escaped, and a newline at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9._+~-]{0,254})")


def sums_text(files: Iterable[tuple[str, str]]) -> str:
    """Of names and digests, in the order of the names. Raises ValueError for a name that a client would misread."""
    lines = [f"{sha256}  {name}" for name, sha256 in sorted(set(files))]
    for line in lines:
        if _LINE.fullmatch(line) is None:
            raise ValueError(f"no client reads this line: {line}")
    return "".join(f"{line}\n" for line in lines)


def read_sums(text: str) -> Mapping[str, str]:
    """Digests by name. Raises ValueError for what systemd would refuse."""
    if text and not text.endswith("\n"):
        raise ValueError("its last line has no end")
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise ValueError(f"it holds a line that is none, or a name twice: {line[:120]}")
        found[match[2]] = match[1]
    return found
