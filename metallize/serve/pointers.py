"""The two files that say where HTTP is: to iPXE and to GRUB. Only whoever serves an archive knows it."""

from __future__ import annotations

from collections.abc import Mapping

FIRST_FILES = {
    "boot.ipxe": "firmware that is iPXE",
    "boot.pxe": "any other BIOS",
    "bootx64.efi": "UEFI",
}
"""What firmware asks for first, and which; one of them makes a folder something that can be booted."""


def pointers(url: str) -> Mapping[str, bytes]:
    """Their names and contents for files at `url` (http://HOST or http://HOST:PORT)."""
    host = url.removeprefix("http://")
    return {
        "server.ipxe": f"#!ipxe\nset base {url}\n".encode(),
        "grub/server.cfg": f"set base=(http,{host})\nset url={url}\n".encode(),
    }
