"""What the DHCP server of the network has to say, so that machines find what is served: RFC 4578 tells them apart."""

from __future__ import annotations

import socket

from metallize.serve.pointers import FIRST_FILES
from metallize.serve.server import EVERYWHERE


def own_address(bound: str) -> str:
    """The address by which this host is reached: the bound one, or the one that leads out; empty without a network."""
    if bound != EVERYWHERE:
        return bound
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses a way
        except OSError:
            return ""
        return str(line.getsockname()[0])


def advice(address: str) -> tuple[str, ...]:
    """Lines for a person, then those for dnsmasq."""
    address = address or "THIS-HOST"
    return (
        f"In the DHCP server: next-server {address}, and as filename",
        *(f"  {file:<12} for {firmware}" for file, firmware in FIRST_FILES.items()),
        "With dnsmasq:",
        "  dhcp-userclass=set:ipxe,iPXE",
        "  dhcp-match=set:efi,option:client-arch,7",
        "  dhcp-match=set:efi,option:client-arch,9",
        f"  dhcp-boot=tag:ipxe,boot.ipxe,,{address}",
        f"  dhcp-boot=tag:!ipxe,tag:efi,bootx64.efi,,{address}",
        f"  dhcp-boot=tag:!ipxe,tag:!efi,boot.pxe,,{address}",
    )
