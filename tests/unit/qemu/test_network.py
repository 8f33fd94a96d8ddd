"""Network cards and their wires: one card is as plain as can be, several share a hub."""

from __future__ import annotations

import socket

import pytest

from metallize.errors import HostError
from metallize.model.nic import Nic
from metallize.qemu.by_hand.interactive import require_free
from metallize.qemu.network import Forward, cards_of, network_options

MODEL = "virtio-net-pci"


def test_one_card_needs_no_hub() -> None:
    assert network_options(cards_of((), MODEL), (22, 80)) == [
        ("-netdev", "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:80"),
        ("-device", "virtio-net-pci,id=nic0,netdev=net0,romfile="),
    ]


def test_a_declared_card_has_an_address_and_a_place_of_its_own() -> None:
    [_, (_, card)] = network_options(cards_of((Nic(name="wan", mac="52:54:00:00:00:01"),), MODEL), ())
    assert card == "virtio-net-pci,id=wan,netdev=net0,mac=52:54:00:00:00:01,addr=0x10,romfile="


def test_cards_of_one_network_are_ports_of_one_hub() -> None:
    nics = (Nic(), Nic(network="lan", device="e1000e"), Nic(), Nic(network="lan"))
    values = [value for _, value in network_options(cards_of(nics, MODEL), (22,))]
    assert values == [
        "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
        "hubport,id=net0-port,hubid=0,netdev=net0",
        "hubport,id=nic0-port,hubid=0",
        "virtio-net-pci,id=nic0,netdev=nic0-port,mac=52:54:00:12:34:56,addr=0x10,romfile=",
        "hubport,id=nic1-port,hubid=1",
        "e1000e,id=nic1,netdev=nic1-port,mac=52:54:00:12:34:57,addr=0x11,romfile=",
        "hubport,id=nic2-port,hubid=0",
        "virtio-net-pci,id=nic2,netdev=nic2-port,mac=52:54:00:12:34:58,addr=0x12,romfile=",
        "hubport,id=nic3-port,hubid=1",
        "virtio-net-pci,id=nic3,netdev=nic3-port,mac=52:54:00:12:34:59,addr=0x13,romfile=",
    ]


def test_a_private_network_leaves_the_first_card_alone() -> None:
    values = [value for _, value in network_options(cards_of((Nic(), Nic(network="lan")), MODEL), ())]
    assert values[1].startswith("virtio-net-pci,id=nic0,netdev=net0,")
    assert not any("hubport,id=net0-port" in value for value in values)


def test_a_card_of_the_mainboard_is_in_the_firmwares_table() -> None:
    options = network_options(cards_of((Nic(name="leg0", onboard=1), Nic(network="lan")), MODEL), ())
    assert [value for option, value in options if option == "-smbios"] == [
        "type=41,designation=Onboard LAN 1,kind=ethernet,instance=1,pcidev=leg0"
    ]


def test_ports_that_a_person_chose_lead_in_too() -> None:
    asked = (Forward(host=8080, guest=80), Forward(host=0, guest=22))
    [(_, value), _] = network_options(cards_of((), MODEL), (22,), asked=asked)
    assert value == (
        "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"
        ",hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:0-:22"
    )


def test_a_port_that_is_taken_is_said_before_anything_runs() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} of this host cannot be had: Address already in use"):
            require_free(Forward(host=port, guest=80))
    require_free(Forward(host=port, guest=80))
    require_free(Forward(host=0, guest=80))
