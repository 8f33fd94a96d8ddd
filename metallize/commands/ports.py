"""`-p HOST:GUEST`: a port of this host that leads into a guest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metallize.qemu.network import Forward

_LAST_PORT = 65535


def add_ports(verb: argparse.ArgumentParser) -> None:
    """The option, for a command that boots a guest for a person."""
    verb.add_argument(
        "-p",
        "--port",
        dest="ports",
        type=forward,
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="port HOST of 127.0.0.1 leads to port GUEST of the guest (TCP; HOST 0: any that is free); may be repeated",
    )


def forward(text: str) -> Forward:
    """`8080:80`. Raises ArgumentTypeError for anything else."""
    from metallize.qemu.network import Forward  # noqa: PLC0415 - the command line is read without what it runs

    host, colon, guest = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in (host, guest)):  # noqa: PLR2004 - digits of a port
        raise argparse.ArgumentTypeError(f"`{text}` is not HOST:GUEST, two ports such as 8080:80")
    found = Forward(host=int(host), guest=int(guest))
    if not 0 <= found.host <= _LAST_PORT or not 1 <= found.guest <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"`{text}`: a port is a number up to {_LAST_PORT}, and the guest's is not 0")
    return found
