"""Network cards and the wires between them, as QEMU's options: pure, a part of `guest_argv`.

Cards of one network are ports of one hub (qemu-system-x86_64(1), -netdev hubport): each hears what any other sends, and
on the network `host` QEMU's own router and DHCP server hear it too. A hub knows no tags: VLANs pass, and nobody outside
the guest answers in them. The network `host` leads nowhere but to the ports that are forwarded into the guest, unless
a profile says `boot.internet`: QEMU's router would otherwise hand a guest the services of the host's own loopback too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metallize.model.nic import HOST_NETWORK, Nic, nic_names

HTTP_ADDRESS = "10.0.2.100"
"""Our HTTP server, in a network that has nothing else."""
FIRST_MAC = 0x525400123456
"""What QEMU gives the first card where nobody says otherwise."""
FIRST_SLOT = 0x10
"""The PCI slot of the first declared card: systemd calls them enp0s16, enp0s17, ... whatever else the machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A network card with everything decided."""

    name: str
    network: str = HOST_NETWORK
    device: str
    """QEMU's -device."""
    mac: str = ""
    slot: int | None = None
    """On the PCI bus; None: QEMU decides."""
    onboard: int | None = None
    """Its number among the cards of the mainboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A TCP port of 127.0.0.1 that somebody wants to lead to a port of the guest."""

    host: int
    """0: any that is free."""
    guest: int


def cards_of(nics: Sequence[Nic], device: str) -> tuple[Card, ...]:
    """What a profile declares, and one card where it declares none; `device` is the machine's own."""
    if not nics:
        return (Card(name=nic_names(())[0], device=device),)
    return tuple(
        Card(
            name=name,
            network=nic.network,
            device=nic.device or device,
            mac=nic.mac or _mac(FIRST_MAC + number),
            slot=FIRST_SLOT + number,
            onboard=nic.onboard,
        )
        for number, (name, nic) in enumerate(zip(nic_names(nics), nics, strict=True))
    )


def network_options(
    cards: Sequence[Card],
    forwards: Sequence[int],
    *,
    boot_file: str = "",
    served: str = "",
    own_driver: bool = False,
    internet: bool = False,
    bridge: str = "",
    asked: Sequence[Forward] = (),
) -> list[tuple[str, ...]]:
    """The options for the cards, and for the ports of the guest that the host reaches.

    With a `boot_file` the first card boots from it, and finds it and all else by TFTP in the folder `served`. Firmware
    that has its `own_driver` for virtio boots without the card's ROM, as that of a real machine does: QEMU's ROM is an
    iPXE of 2019 that shim cannot go on from. `internet` opens the way to everything else, and `bridge` is the command
    that a closed network has for connections to `HTTP_ADDRESS`.
    """
    serving = f",tftp={served},bootfile={boot_file}" if boot_file else ""
    forwarded = "".join(f",hostfwd=tcp:127.0.0.1:0-:{port}" for port in forwards)
    forwarded += "".join(f",hostfwd=tcp:127.0.0.1:{each.host}-:{each.guest}" for each in asked)
    closed = "" if internet else ",restrict=on"
    bridged = f",guestfwd=tcp:{HTTP_ADDRESS}:80-cmd:{bridge}" if bridge else ""
    options: list[tuple[str, ...]] = [("-netdev", f"user,id=net0{closed}{serving}{bridged}{forwarded}")]
    networks = list(dict.fromkeys(card.network for card in cards))
    alone = sum(card.network == HOST_NETWORK for card in cards) == 1
    if not alone:
        options.append(("-netdev", f"hubport,id=net0-port,hubid={networks.index(HOST_NETWORK)},netdev=net0"))
    for number, card in enumerate(cards):
        port = "net0"
        if card.network != HOST_NETWORK or not alone:
            port = f"{card.name}-port"
            options.append(("-netdev", f"hubport,id={port},hubid={networks.index(card.network)}"))
        mac = f",mac={card.mac}" if card.mac else ""
        slot = f",addr={card.slot:#x}" if card.slot is not None else ""
        # without its boot ROM a card is no way to boot, and looking for a server takes seconds
        booting = bool(boot_file) and number == 0
        rom = "" if booting and not (own_driver and card.device.startswith("virtio-")) else ",romfile="
        rom += ",bootindex=0" if booting else ""
        if card.device.startswith("usb-"):
            rom = ""
        options.append(("-device", f"{card.device},id={card.name},netdev={port}{mac}{slot}{rom}"))
        if card.onboard is not None:
            # the firmware's table of what is on the mainboard, from which systemd.net-naming-scheme(7) takes eno1
            told = f"designation=Onboard LAN {card.onboard},kind=ethernet,instance={card.onboard},pcidev={card.name}"
            options.append(("-smbios", f"type=41,{told}"))
    return options


def _mac(number: int) -> str:
    return ":".join(f"{byte:02x}" for byte in number.to_bytes(6, "big"))


# --- connections: what the monitor tells a person of QEMU's own network (libslirp, src/misc.c,
# slirp_connection_info(): state, descriptor, source, port, destination, port, two queues). The host's side of a
# forwarded port accepts by itself; only the state says whether the guest has.

CONNECTIONS_COMMAND = "info usernet"
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
    """What the monitor answers to CONNECTIONS_COMMAND."""
    return tuple(
        Connection(state=row[0], descriptor=int(row[1]), host_port=int(row[3]), guest_port=int(row[5]))
        for row in _ROW.findall(text)
    )
