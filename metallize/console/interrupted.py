"""Lines that a kernel message cut in two: the kernel writes to the serial port when it likes.

Its message begins with its time stamp in the middle of somebody's line, and ends with a newline, after which the
rest of that line comes. What belongs together is put together again, beside the lines as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_STAMP_IN_LINE = re.compile(r"\[(?<=[^\n]\[) {0,4}\d{1,5}\.\d{6}\](?:\[ *[CT]\d+\])? ")
_STAMP = re.compile(r"^ *\[ {0,4}\d{1,5}\.\d{6}\]")
_KERNEL_TEXT = re.compile(r"\[ {0,4}\d{1,5}\.\d{6}\](?:\[ *[CT]\d+\])? [^\n]*(?:\n|\Z)")
MOST_KERNEL_LINES = 50
"""In the middle of one line: a trace may be that long, and what follows a longer one is no rest of it."""
LONGEST_HEAD = 400
MOST_JOINED = 20_000
"""In one boot, so that a flood of cut lines costs no more than its search."""


class Rejoiner:
    """Finds the halves of cut lines in whole lines of text, however these are grouped into calls."""

    def __init__(self) -> None:
        self._head = ""
        self._kernel_lines = 0
        self._left = MOST_JOINED

    @property
    def head(self) -> str:
        """The first half of a line whose other half has not come yet."""
        return self._head

    def feed(self, text: str) -> list[tuple[int, str]]:
        """The lines put together, each with the place in the text where its last part begins."""
        joined: list[tuple[int, str]] = []
        position = 0
        while self._left:
            if not self._head:
                match = _STAMP_IN_LINE.search(text, position)
                if match is None:
                    break
                begin = text.rfind("\n", 0, match.start()) + 1
                self._head = _first_half(text[begin : match.start()])
                self._kernel_lines = 0
                position = _line_end(text, match.end())
                continue
            if position >= len(text):
                break
            end = _line_end(text, position)
            line = text[position : end - 1]
            if _STAMP.match(line):
                self._kernel_lines += 1
                if self._kernel_lines > MOST_KERNEL_LINES:
                    self._head = ""
            else:
                cut = _STAMP_IN_LINE.search(line)
                whole = self._head + (line[: cut.start()] if cut else line)
                self._head = _first_half(whole) if cut else ""
                self._kernel_lines = 0
                if not cut:
                    self._left -= 1
                    joined.append((position, whole))
            position = end
        return joined


def without_kernel_lines(text: str) -> tuple[str, Callable[[int], int]]:
    """The text as it is without the kernel's messages in it, and where a place of that is in the text itself.

    A message takes its newline with it, so that a prompt or an answer that it cut is whole.
    """
    pieces: list[str] = []
    starts: list[tuple[int, int]] = []
    position = length = 0
    for match in _KERNEL_TEXT.finditer(text):
        starts.append((length, position))
        pieces.append(text[position : match.start()])
        length += match.start() - position
        position = match.end()
    starts.append((length, position))
    pieces.append(text[position:])

    def original(place: int) -> int:
        clean, raw = next(pair for pair in reversed(starts) if pair[0] <= place)
        return raw + place - clean

    return "".join(pieces), original


def _first_half(text: str) -> str:
    # what is nothing but the end of a long line, or a kernel message's own beginning, is no half of anything
    return "" if len(text) > LONGEST_HEAD or not text.strip() or _STAMP.match(text) else text


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end == -1 else end + 1
