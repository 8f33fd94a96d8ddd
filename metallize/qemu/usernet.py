"""The TCP connections of QEMU's own network, as its monitor tells them to a person.

Source: libslirp, src/misc.c, slirp_connection_info(): state, descriptor, source, port, destination, port, two queues.
The host's side of a forwarded port accepts by itself; only the state says whether the guest has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMAND = "info usernet"
_ROW = re.compile(
    r"^ *TCP\[(\w{1,20})\] +(\d{1,9}) +([\d.*]{1,20}) +(\d{1,5}) +([\d.*]{1,20}) +(\d{1,5})(?: +\d{1,12}){2}\r?$",
    re.MULTILINE | re.ASCII,
)
_ASKING = frozenset({"HOST_FORWARD", "NONE", "CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection, or one port that QEMU listens on for the guest."""

    state: str
    descriptor: int
    """QEMU's own, which another connection may get when this one has ended."""
    host_port: int
    guest_port: int

    @property
    def taken(self) -> bool:
        """Whether the other end has answered it."""
        return self.state not in _ASKING


def connections(text: str) -> tuple[Connection, ...]:
    """What the monitor answers to COMMAND."""
    return tuple(
        Connection(state=row[0], descriptor=int(row[1]), host_port=int(row[3]), guest_port=int(row[5]))
        for row in _ROW.findall(text)
    )
