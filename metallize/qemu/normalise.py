"""Raw bytes of a serial port to lines of clean text, whatever way the bytes are cut into reads.

Escape sequences are those of ECMA-48 and xterm: CSI, OSC, DCS and the two-byte ones. A sequence that moves the
cursor to a place, and a lone carriage return, begin a new line: what is drawn over a line is a line of its own.
"""

from __future__ import annotations

import codecs
import re

HOLD_LIMIT = 4096
"""An escape sequence longer than this is none: a control string is at most that long."""

_ESCAPES = re.compile(
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*([@-~])"  # CSI; the final byte says what it does
    r"|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"  # OSC: a title, a semantic context
    r"|[PX^_][^\x1b]{0,4096}\x1b\\"  # DCS, SOS, PM, APC
    r"|[ -/]+[0-~]"  # a character set
    r"|[0-OQ-WYZ\\`-~]"  # the rest that is two bytes long
    r")"
)
_PARTIAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,4096}\x1b?|[PX^_][^\x1b]{0,4096}\x1b?|[ -/]*)?\Z")
_CARRIAGE_RETURNS = re.compile(r"\r+\n?")
_MOVES = frozenset("HfEF")
"""CSI final bytes that put the cursor on another line or at a place."""


def _replacement(match: re.Match[str]) -> str:
    return "\n" if match[1] in _MOVES else ""


_DROPPED = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n\r\x07\x1b")
"""Control characters that draw nothing; BEL and ESC may belong to a sequence and are seen to later."""


class Normaliser:
    """Turns reads into clean text; holds back what may be the beginning of something until the next read."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._returns = ""

    def feed(self, data: bytes) -> str:
        """Clean text of this read and of what was held back; its only control characters are newline and tab."""
        text = self._partial + self._decoder.decode(data.translate(None, _DROPPED))
        self._partial = ""
        if "\x1b" in text:
            partial = _PARTIAL.search(text, max(0, len(text) - HOLD_LIMIT - 8))
            if partial is not None:
                self._partial = partial[0]
                text = text[: partial.start()]
            text = _ESCAPES.sub(_replacement, text).replace("\x1b", "")
        if "\x07" in text:
            text = text.replace("\x07", "")
        text = self._returns + text
        self._returns = ""
        if "\r" in text:
            kept = text.rstrip("\r")
            self._returns = text[len(kept) :]
            text = _CARRIAGE_RETURNS.sub("\n", kept.replace("\r\n", "\n"))
        return text
