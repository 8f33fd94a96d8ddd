"""What the layers for a server decide before anything boots: the netplan file, and the CPUs of the network cards.

Their effect on a machine is in tests/boot/test_server.py.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.command import Finished, run
from tests.conftest import ROOT

LAYERS = ROOT / "layers"
BOND = {
    "METALLIZE_BOND_LEGS": "eno1 eno2",
    "METALLIZE_BOND_NAME": "bond0",
    "METALLIZE_BOND_MODE": "active-backup",
    "METALLIZE_BOND_ADDRESS": "dhcp",
    "METALLIZE_VLANS": "",
    "METALLIZE_NIC_ADDRESSES": "",
    "METALLIZE_GATEWAY": "",
    "METALLIZE_NAMESERVERS": "",
}


def write_netplan(**arguments: str) -> Finished:
    environment = BOND | {f"METALLIZE_{name.upper()}": value for name, value in arguments.items()}
    return run(["sh", LAYERS / "netplan-bond/write-netplan"], env=environment, check=False)


def netplan(**arguments: str) -> dict[str, Any]:
    done = write_netplan(**arguments)
    assert done.status == 0, done.stderr
    network: dict[str, Any] = yaml.safe_load(done.stdout)["network"]
    return network


def test_the_defaults_are_a_bond_with_dhcp_that_a_missing_leg_does_not_hold_up() -> None:
    assert netplan() == {
        "version": 2,
        "renderer": "networkd",
        "ethernets": {"eno1": {"optional": True}, "eno2": {"optional": True}},
        "bonds": {
            "bond0": {
                "interfaces": ["eno1", "eno2"],
                "dhcp4": True,
                "parameters": {"mode": "active-backup", "mii-monitor-interval": 100},
            }
        },
    }


def test_lacp_with_addresses_vlans_and_cards_beside_it() -> None:
    network = netplan(
        bond_mode="802.3ad",
        bond_address="192.0.2.10/24,2001:db8::10/64",
        gateway="192.0.2.1",
        nameservers="192.0.2.53 2001:db8::53",
        vlans="100=10.100.0.10/24 4094=none",
        nic_addresses="eno3=10.20.0.10/24 eno4=dhcp",
    )
    assert network["bonds"]["bond0"] == {
        "interfaces": ["eno1", "eno2"],
        "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
        "routes": [{"to": "default", "via": "192.0.2.1"}],
        "nameservers": {"addresses": ["192.0.2.53", "2001:db8::53"]},
        "parameters": {
            "mode": "802.3ad",
            "mii-monitor-interval": 100,
            "lacp-rate": "fast",
            "transmit-hash-policy": "layer3+4",
        },
    }
    assert network["vlans"] == {
        "bond0.100": {"id": 100, "link": "bond0", "addresses": ["10.100.0.10/24"]},
        "bond0.4094": {"id": 4094, "link": "bond0"},
    }
    assert network["ethernets"]["eno3"] == {"addresses": ["10.20.0.10/24"]}
    assert network["ethernets"]["eno4"] == {"dhcp4": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bond_legs": ""}, "names no card"),
        ({"bond_legs": "eno1 eno2:0"}, "'eno2:0', which is no name"),
        ({"bond_name": "a-name-of-sixteen"}, "no name of an interface"),
        ({"bond_mode": "lacp"}, "'lacp': modes are active-backup, 802.3ad"),
        ({"bond_address": "192.0.2.10"}, "192.0.2.10 of bond0 has no prefix length"),
        ({"bond_address": ""}, "bond0 has no address"),
        ({"vlans": "4095=dhcp"}, "'4095=dhcp': it is ID=ADDRESS, the ID from 1 to 4094"),
        ({"vlans": "bond0.7=dhcp"}, "it is ID=ADDRESS"),
        ({"vlans": "7"}, "VLAN 7 has no address"),
        ({"nic_addresses": "eno3"}, "eno3 has no address"),
    ],
)
def test_what_cannot_be_written_is_named(arguments: dict[str, str], said: str) -> None:
    done = write_netplan(**arguments)
    assert done.status == 1
    assert said in done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The files of a machine with a card on PCI, one of virtio, and a bond; and a udev that knows their paths."""
    for card, device in (("eno1", "0000:3b:00.0"), ("eth0", "0000:00:10.0/virtio3")):
        pci = tmp_path / "sys/devices" / device
        pci.mkdir(parents=True)
        for queue in ("rx-0", "rx-1"):
            (tmp_path / f"sys/class/net/{card}/queues/{queue}").mkdir(parents=True)
            (tmp_path / f"sys/class/net/{card}/queues/{queue}/rps_cpus").write_text("00\n")
        (tmp_path / f"sys/class/net/{card}/device").symlink_to(pci)
    for folder, irq in (("0000:3b:00.0", 40), ("0000:3b:00.0", 41), ("0000:00:10.0", 50), ("", 60)):
        if folder:
            interrupts = tmp_path / "sys/devices" / folder / "msi_irqs"
            interrupts.mkdir(exist_ok=True)
            (interrupts / str(irq)).touch()
        (tmp_path / f"proc/irq/{irq}").mkdir(parents=True)
        (tmp_path / f"proc/irq/{irq}/smp_affinity_list").write_text("0-95\n")
    (tmp_path / "sys/devices/0000:3b:00.0/msi_irqs/42").touch()  # the driver has not asked for it yet
    (tmp_path / "sys/class/net/bond0/queues/rx-0").mkdir(parents=True)
    (tmp_path / "sys/class/net/bond0/queues/rx-0/rps_cpus").write_text("00\n")
    udevadm = tmp_path / "bin/udevadm"
    udevadm.parent.mkdir()
    udevadm.write_text(
        '#!/bin/sh\ncase "$3" in\n'
        "*/eno1) echo ID_PATH=pci-0000:3b:00.0 ;;\n*/eth0) echo ID_PATH=pci-0000:00:10.0 ;;\nesac\n"
    )
    udevadm.chmod(stat.S_IRWXU)
    return tmp_path


def affinity(machine: Path, settings: str, *words: str) -> Finished:
    (machine / "etc/default").mkdir(parents=True, exist_ok=True)
    (machine / "etc/default/nic-affinity").write_text(settings)
    environment = {"NIC_AFFINITY_ROOT": str(machine), "PATH": f"{machine}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return run(["sh", LAYERS / "nic-tuning/nic-affinity", *words], env=environment, check=False)


def rps(machine: Path, card: str, queue: int = 0) -> str:
    return (machine / f"sys/class/net/{card}/queues/rx-{queue}/rps_cpus").read_text().strip()


def irq(machine: Path, number: int) -> str:
    return (machine / f"proc/irq/{number}/smp_affinity_list").read_text().strip()


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [
        ("0", "00000001"),
        ("0,2-3", "0000000d"),
        ("31", "80000000"),
        ("32", "00000001,00000000"),
        ("0-63", "ffffffff,ffffffff"),
        ("1,95", "80000000,00000000,00000002"),
    ],
)
def test_cpus_are_written_as_the_kernels_mask(machine: Path, cpus: str, mask: str) -> None:
    assert affinity(machine, f"RPS_CPUS={cpus}\n").status == 0
    assert {rps(machine, card, queue) for card in ("eno1", "eth0") for queue in (0, 1)} == {mask}
    assert rps(machine, "bond0") == "00", "a bond has no path"


def test_interrupts_of_the_cards_alone_are_moved(machine: Path) -> None:
    assert affinity(machine, "IRQ_CPUS=0,2-3\n").status == 0
    assert [irq(machine, number) for number in (40, 41, 50, 60)] == ["0,2-3", "0,2-3", "0,2-3", "0-95"]
    assert rps(machine, "eno1") == "00", "nobody asked for it"
    assert not (machine / "proc/irq/42").exists()


def test_only_the_chosen_cards_are_tuned(machine: Path) -> None:
    assert affinity(machine, "NIC_PATH='pci-0000:3b:00.0'\nRPS_CPUS=1\nIRQ_CPUS=1\n").status == 0
    assert (rps(machine, "eno1"), rps(machine, "eth0")) == ("00000002", "00")
    assert (irq(machine, 40), irq(machine, 50)) == ("1", "0-95")


def test_a_path_that_no_card_has_is_a_failure(machine: Path) -> None:
    done = affinity(machine, "NIC_PATH=pci-0000:99:00.0\nRPS_CPUS=1\n")
    assert done.status == 1
    assert "no network card has a path like pci-0000:99:00.0" in done.stderr


def test_what_the_kernel_does_not_take_is_named_and_the_rest_is_done(machine: Path) -> None:
    refused = machine / "proc/irq/40/smp_affinity_list"
    refused.unlink()
    refused.mkdir()
    done = affinity(machine, "IRQ_CPUS=7\n")
    assert done.status == 1
    assert "eno1, interrupt 40: the kernel does not take the CPUs 7" in done.stderr
    assert irq(machine, 41) == "7"


@pytest.mark.parametrize("wrong", ["1-", "a", "0 1", "0x3", "1,,2"])
def test_a_list_that_cannot_be_read_fails_the_build(machine: Path, wrong: str) -> None:
    done = affinity(machine, f"RPS_CPUS='{wrong}'\n", "--check")
    assert done.status == 1
    assert f"RPS_CPUS is '{wrong}'" in done.stderr
    assert affinity(machine, "RPS_CPUS=0-3\n", "--check").status == 0
