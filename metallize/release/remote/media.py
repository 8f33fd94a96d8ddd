"""What kind of file it is, as media types have it (RFC 6838)."""

from __future__ import annotations

from pathlib import PurePosixPath

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".atom": "application/atom+xml",
    ".jsonl": "application/jsonl",
    ".xz": "application/x-xz",
    ".bmap": "application/xml",
    ".gpg": "application/octet-stream",
    "": "text/plain; charset=utf-8",
}


def kind_of(name: str) -> str:
    """The media type that a file is served as."""
    return _KINDS.get(PurePosixPath(name).suffix, "application/octet-stream")
