"""Colour where somebody sees it: --color, else NO_COLOR (no-color.org), TERM and whether it is a terminal."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import IO


class Colour(StrEnum):
    """What --color says."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"

    def on(self, stream: IO[str]) -> bool:
        """Whether what is written there is coloured."""
        if self is not Colour.AUTO:
            return self is Colour.ALWAYS
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Style(StrEnum):
    """Select Graphic Rendition (ECMA-48, 8.3.117)."""

    BAD = "31"
    GOOD = "32"
    WARNING = "33"
    HEAD = "1"

    def paint(self, text: str, *, on: bool) -> str:
        """The text in this style, or as it is."""
        return f"\x1b[{self}m{text}\x1b[0m" if on and text else text
