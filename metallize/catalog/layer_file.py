"""What a layer's dockerfile says of itself in its comments and ARG lines.

# Kernel and live-boot for Debian, for use with the livecd generator.
# supports: debian:12 debian:13
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The compressor of the initrd.
ARG METALLIZE_COMPRESSION=zstd
"""

from __future__ import annotations

import re
from pathlib import Path

from metallize.model.catalogue import Layer, LayerArgument

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=", re.IGNORECASE)
_SUPPORTS = re.compile(r"#\s*supports:\s*(.*)", re.IGNORECASE)
_ARGUMENT = re.compile(r"ARG\s+(METALLIZE_[A-Za-z0-9_]+)(?:=(.*))?", re.IGNORECASE)
_RESERVED = "METALLIZE_SRC_IMG"


def read_layer_header(path: Path) -> Layer:
    """The layer as its file describes it; its name is the file's and its context the folder that holds it."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    return Layer(
        name=path.name,
        path=path,
        context=path.parent,
        summary=_summary(lines),
        supports=_supports(lines),
        arguments=_arguments(lines),
    )


def _comment(line: str) -> str | None:
    """The text of a comment line, or None for another line, a parser directive or a header field."""
    stripped = line.strip()
    if not stripped.startswith("#") or _DIRECTIVE.match(stripped) or _SUPPORTS.match(stripped):
        return None
    return stripped.lstrip("#!").strip()


def _summary(lines: list[str]) -> str:
    """The first comment, up to its first empty line; joined where it is wrapped."""
    words: list[str] = []
    for line in lines:
        text = _comment(line)
        if text:
            words.append(text)
        elif words:
            break
    return " ".join(words)


def _supports(lines: list[str]) -> tuple[str, ...]:
    found = [match[1] for line in lines if (match := _SUPPORTS.match(line.strip()))]
    return tuple(name for text in found for name in re.split(r"[\s,]+", text.strip()) if name)


def _arguments(lines: list[str]) -> tuple[LayerArgument, ...]:
    """Each ARG METALLIZE_* once, with the comment right above it as its description."""
    found: dict[str, LayerArgument] = {}
    above: list[str] = []
    for line in lines:
        if (match := _ARGUMENT.match(line.strip())) and match[1] != _RESERVED:
            default = None if match[2] is None else match[2].strip().strip("\"'")
            found.setdefault(match[1], LayerArgument(name=match[1], default=default, description=" ".join(above)))
        text = _comment(line)
        above = [*above, text] if text else []
    return tuple(found.values())
