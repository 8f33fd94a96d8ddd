"""Keys that have no character of their own, by the names that a profile types them with: <enter>, <f2>, <ctrl-c>.

The sequences are those of an xterm, which GRUB, EDK2 and curses read from a serial terminal (xterm's ctlseqs;
GRUB grub-core/term/terminfo.c).
"""

from __future__ import annotations

import re

KEYS = {
    "enter": "\r",
    "tab": "\t",
    "space": " ",
    "esc": "\x1b",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "insert": "\x1b[2~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "page-up": "\x1b[5~",
    "page-down": "\x1b[6~",
    **{f"f{number}": f"\x1bO{letter}" for number, letter in enumerate("PQRS", start=1)},
    **{
        f"f{number}": f"\x1b[{code}~"
        for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
    **{f"ctrl-{chr(96 + number)}": chr(number) for number in range(1, 27)},
    "lt": "<",
}
_NAMED = re.compile(r"<([A-Za-z][A-Za-z0-9-]*)>")


def unknown_keys(text: str) -> tuple[str, ...]:
    """The names in angle brackets that are no key's."""
    return tuple(name for name in _NAMED.findall(text) if name.lower() not in KEYS)


def typed(text: str) -> str:
    """What a terminal sends for this text: a line's end is the enter key."""
    text = text.replace("\r\n", "\n").replace("\n", "\r")
    return _NAMED.sub(lambda match: KEYS.get(match[1].lower(), match[0]), text)
