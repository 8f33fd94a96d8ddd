"""Raw bytes of a serial port to lines of clean text, whatever way the bytes are cut into reads.

Escape sequences are those of ECMA-48 and xterm: CSI, OSC, DCS and the two-byte ones. A sequence that moves the
cursor to a place, and a lone carriage return, begin a new line: what is drawn over a line is a line of its own.
SeaBIOS, which prints for boot loaders, places the cursor where it is at each tick of its clock: that begins nothing.
"""

from __future__ import annotations

import codecs
import re

from metallize.model.visible import marked

HOLD_LIMIT = 4096
"""A control string that is longer, or that a line's end cuts, is none."""

_CSI = r"\[[0-?]{0,64}+[ -/]{0,8}+"
_STRING = rf"[^\x07\x1b\n\r]{{0,{HOLD_LIMIT}}}+"
_MOVES = re.compile(rf"\x1b{_CSI}[HfEF]")
"""What puts the cursor on another line or at a place."""
_ESCAPES = re.compile(
    r"(?:\x1b(?:"
    rf"{_CSI}[@-~]"  # CSI
    rf"|\]{_STRING}(?:\x07|\x1b\\)"  # OSC: a title, a semantic context
    rf"|[PX^_]{_STRING}\x1b\\"  # DCS, SOS, PM, APC
    r"|[ -/]{1,8}+[0-~]"  # a character set
    r"|[0-OQ-WYZ\\`-~]"  # the rest that is two bytes long
    r"))++"
)
_PLACE = r"\x1b\[\d{1,3};\d{1,3}H"
_TICK = "\x1b\0"
"""Stands where two places were taken out, so that what was around them does not become one sequence."""
_PLACES = re.compile(rf"(?:{_PLACE}){{2,}}+")
_PARTIAL = re.compile(rf"(?:{_PLACE})?\x1b(?:{_CSI}|[]PX^_]{_STRING}\x1b?|[ -/]{{0,8}}+)?\Z|{_PLACE}\Z")

_DROPPED = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n\r\x07\x1b")
"""Control characters that draw nothing; BEL and ESC may belong to a sequence and are seen to later."""


class Normaliser:
    """Turns reads into clean text; holds back what may be the beginning of something until the next read."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._return = ""

    def feed(self, data: bytes) -> str:
        """Clean text of this read and of what was held back; its only control characters are newline and tab.

        What else would act on a terminal, or on the order in which text is read, is marked.
        """
        text = self._partial + marked(self._decoder.decode(data.translate(None, _DROPPED)))
        self._partial = ""
        if "\x1b" in text:
            if "H\x1b[" in text:
                text = _PLACES.sub(_without_ticks, text)
            partial = _PARTIAL.search(text, max(0, len(text) - HOLD_LIMIT - 8))
            if partial is not None:
                self._partial = partial[0]
                text = text[: partial.start()]
            # No control string holds a newline: what the first puts in cannot become part of what the second takes out.
            text = _ESCAPES.sub("", _MOVES.sub("\n", text)).replace("\x1b", "").replace("\0", "")
        if "\x07" in text:
            text = text.replace("\x07", "")
        text = self._return + text
        self._return = ""
        if "\r" in text:
            while "\r\r" in text:
                text = text.replace("\r\r", "\r")
            if text.endswith("\r"):  # a newline that follows belongs to it
                self._return = "\r"
                text = text[:-1]
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text


def _without_ticks(places: re.Match[str]) -> str:
    """Some places of the cursor one after another, without two that are neighbours (SeaBIOS, src/sercon.c).

    At a tick it prints the character that is pending, where that belongs, and goes on behind it.
    """
    before: tuple[int, int] | None = None
    lines, last = "", ""
    for place in places[0].split("H")[:-1]:
        row, column = (int(number) for number in place[2:].split(";"))
        if before == (row, column - 1):
            before, last = None, ""
            lines += _TICK
            continue
        # only the last may yet have a neighbour, in the next read
        lines += "\n" if last else ""
        before, last = (row, column), f"{place}H"
    return lines + last
