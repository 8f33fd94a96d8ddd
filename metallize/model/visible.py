r"""Text that others wrote, on its way to a terminal, a log or a page: nothing in it acts, hides or turns round.

C0 and C1 are commands to a terminal, C1 as UTF-8 too (U+009D begins an OSC: 52 sets the clipboard); the bidirectional
controls change the order of what is read (UAX #9), U+0085, U+2028 and U+2029 begin lines where no newline is;
zero-width characters, fillers and tags (UAX #44: Default_Ignorable_Code_Point) are there and cannot be seen.
"""

from __future__ import annotations

import re

_ACTING = (
    *(chr(code) for code in range(0x80, 0xA0)),
    "\u061c",
    "\u200e",
    "\u200f",
    *(chr(code) for code in (*range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC))),
)
"""What does something to the text around it. Joiners and spaces without a width are part of some languages' words."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SEQUENCE = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]")
_MARK = "\ufffd"


def visible(text: str) -> str:
    r"""The text with what acts or cannot be seen spelt out, as \u009d; newlines and tabs stay."""
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def visible_line(text: str) -> str:
    """A line that a tool printed: without its colours and the carriage return at its end."""
    return visible(_SEQUENCE.sub("", text).rstrip("\r"))


def marked(text: str) -> str:
    """The text with U+FFFD in the place of what acts, as long as before, at the speed of a flood.

    C0 is none of its business, nor are halves of surrogate pairs.
    """
    if not text.isascii():
        for sign in _ACTING:
            if sign in text:
                text = text.replace(sign, _MARK)
    return text
