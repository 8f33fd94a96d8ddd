"""Events on a terminal, as plain lines, or as JSON lines. The library emits; only this shows."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Protocol

from metallize.events import Events
from metallize.render.colour import Colour, Style
from metallize.render.json_lines import JsonLines
from metallize.render.plain import PlainLines
from metallize.render.words import seconds

__all__ = ["Colour", "JsonLines", "PlainLines", "Renderer", "Style", "choose", "seconds"]


class Renderer(Events, AbstractContextManager["Renderer"], Protocol):
    """Shows events while it is open."""


def choose(*, as_json: bool, verbose: bool, quiet: bool = False, colour: Colour = Colour.AUTO) -> Renderer:
    """JSON lines on standard output for --json; else live progress on a terminal, plain lines elsewhere.

    With `quiet` nothing but warnings and what failed.
    """
    if as_json:
        return JsonLines(sys.stdout, quiet=quiet)
    if sys.stderr.isatty() and not verbose and not quiet:
        from metallize.render.terminal import Terminal, console_on  # noqa: PLC0415 - rich takes long to import

        return Terminal(console_on(sys.stderr, coloured=colour.on(sys.stderr)))
    return PlainLines(sys.stderr, verbose=verbose, quiet=quiet, coloured=colour.on(sys.stderr))
