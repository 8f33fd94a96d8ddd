"""What the guest listens on, at the end of a boot: a release may say that nothing new may be among it.

From /proc/net (proc(5)), so that no tool and no right is needed: state 0A is a TCP socket that listens, 07 a UDP socket
that takes what anybody sends.
"""

from __future__ import annotations

import ipaddress
import re

from metallize.checks.port import ADDRESS, address_of
from metallize.model.kind import Observation, lines_of

PROBE = """\
[ -r /proc/net/tcp ] || exit 1
for t in tcp tcp6 udp udp6; do
  [ -r /proc/net/$t ] || continue
  while read -r n local remote st rest; do
    case $t:$st in tcp*:0A|udp*:07) echo "$t $local" ;; esac
  done </proc/net/$t
done
echo "range $(cat /proc/sys/net/ipv4/ip_local_port_range || echo none)"
echo end
"""
_SOCKET = re.compile(rf"(tcp|udp)6? ({ADDRESS}):([0-9A-F]{{4}})")
_RANGE = re.compile(r"range (?:([0-9]{1,5})\s+([0-9]{1,5})|none)")
_USUAL = range(32768, 61000)


def read_ports(observation: Observation | None) -> tuple[str, ...] | None:
    """`tcp:22`, `udp:68`, by number; what is bound to a loopback address alone is nobody else's. None: not answered.

    A UDP port out of those that the kernel gives to whoever asks for any (ip_local_port_range) belongs to a client
    that waits for an answer, and is another one in every boot.
    """
    lines = lines_of(observation.stdout) if observation is not None and observation.status == 0 else []
    low_high = _RANGE.fullmatch("".join(lines[-2:-1]))
    if low_high is None or lines[-1] != "end":
        return None
    any_port = range(int(low_high[1]), int(low_high[2]) + 1) if low_high[1] else _USUAL
    found = set()
    for line in lines[:-2]:
        match = _SOCKET.fullmatch(line)
        if match is None:
            return None  # it may be a port
        if _is_loopback(address_of(match[2])):
            continue
        port = int(match[3], 16)
        if match[1] == "tcp" or port not in any_port:
            found.add((match[1], port))
    return tuple(f"{protocol}:{port}" for protocol, port in sorted(found))


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
