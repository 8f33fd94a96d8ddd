"""The network cards of a machine, and the wires that they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from metallize.model.scalars import Frozen

_MAX_NICS = 12
_MAX_ONBOARD = 255  # a byte of the firmware's table (SMBIOS specification, 7.42)

DeviceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
HOST_NETWORK = "host"


class Nic(Frozen):
    """A network card. The cards of one network are on one wire; the network `host` leads to the host."""

    name: Annotated[DeviceName | None, Field(description="for boot.actions; default: nic0, nic1, ...")] = None
    network: Annotated[
        DeviceName, Field(description="`host` leads to the host, with a DHCP server; any other name to itself alone")
    ] = HOST_NETWORK
    mac: Annotated[
        Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f][02468ACEace])(:[0-9A-Fa-f]{2}){5}$")] | None,
        Field(description="default: 52:54:00:12:34:56 and up"),
    ] = None
    device: Annotated[
        DeviceName | None, Field(description="QEMU's name of a model, as e1000e; default: the machine's")
    ] = None
    onboard: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=_MAX_ONBOARD,
            description="its number among the cards on the mainboard, told by the firmware: systemd calls it eno1, ...",
        ),
    ] = None


def nic_names(nics: Sequence[Nic]) -> tuple[str, ...]:
    """The cards' names; a machine for which none is declared has one."""
    return tuple(nic.name or f"nic{number}" for number, nic in enumerate(nics or (Nic(),)))


def _unlike(nics: tuple[Nic, ...]) -> tuple[Nic, ...]:
    if not 1 <= len(nics) <= _MAX_NICS:
        raise ValueError(f"a list of 1 to {_MAX_NICS} network cards is wanted")
    names = nic_names(nics)
    addresses = [nic.mac.lower() for nic in nics if nic.mac is not None]
    onboard = [nic.onboard for nic in nics if nic.onboard is not None]
    if any(len(set(each)) < len(each) for each in (names, addresses, onboard)):
        raise ValueError("two network cards have the same name, address or number on the mainboard")
    if nics[0].network != HOST_NETWORK:
        raise ValueError("the first network card is on the network `host`: SSH and reach come in through it")
    return nics


Nics = Annotated[
    tuple[Nic, ...],
    Field(
        description="the network cards, the first on the network `host`",
        json_schema_extra={"minItems": 1, "maxItems": _MAX_NICS},
    ),
    AfterValidator(_unlike),
]
