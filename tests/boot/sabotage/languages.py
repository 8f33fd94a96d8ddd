"""Consoles that do not speak English, on an image that has no locale but C."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.boot.sabotage.images import Disk

IN_CHINESE = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "login: ": "登录：",  # noqa: RUF001 - as it is written there
    "Login incorrect\n\n": "登录不正确\n\n",
    "\nLogin incorrect\n": "\n登录不正确\n",
}


def translation(texts: Mapping[str, str]) -> bytes:
    """A catalogue of messages (gettext's manual, "The Format of GNU MO Files")."""
    words = [text.encode() for pair in zip(*sorted(texts.items()), strict=True) for text in pair]
    at = header = 28 + 8 * len(words)
    table = b""
    for word in words:
        table += struct.pack("<II", len(word), at)
        at += len(word) + 1
    begin = struct.pack("<7I", 0x950412DE, 0, len(texts), 28, 28 + 4 * len(words), 0, header)
    return begin + table + b"".join(word + b"\0" for word in words)


def speaks(disk: Disk, language: str) -> None:
    """A locale by its name alone: the language of messages is all that it changes."""
    disk.link(f"/usr/lib/locale/{language}.utf8", "C.utf8")
    disk.put("/etc/locale.conf", f"LANG={language}.UTF-8\n")


def in_chinese(disk: Disk) -> None:
    """PAM's messages are in the image; login(1)'s are in a package of their own, util-linux-locales."""
    disk.put("/usr/share/locale/zh_CN/LC_MESSAGES/util-linux.mo", translation(IN_CHINESE))
    speaks(disk, "zh_CN")
