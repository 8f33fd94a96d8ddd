"""Sabotage of the network and of what is reached through it."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk
from tests.boot.sabotage.recipe import Failed, Recipe

SSH = "ssh login as admin"
FIREWALL = """\
#!/usr/sbin/nft -f
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport 22 drop
  }
}
"""
LOOPBACK_SOCKET = """\
[Unit]
Description=A server for nobody else
[Socket]
ListenStream=127.0.0.1:8080
Accept=yes
[Install]
WantedBy=sockets.target
"""


def firewall(disk: Disk) -> None:
    disk.put("/etc/nftables.conf", FIREWALL, mode=0o755)
    disk.link("/etc/systemd/system/sysinit.target.wants/nftables.service", "/usr/lib/systemd/system/nftables.service")


def no_host_keys(disk: Disk) -> None:
    for unit in ("metallize-ssh-host-keys.service", "sshd-keygen.service"):
        disk.mask(unit)
    disk.remove(*(f"/etc/ssh/{name}" for name in disk.names("/etc/ssh") if name.startswith("ssh_host_")))


def wrong_address(disk: Disk) -> None:
    folder = "/etc/systemd/system"
    disk.put(f"{folder}/alone.socket", LOOPBACK_SOCKET)
    disk.put(f"{folder}/alone@.service", "[Service]\nExecStart=/bin/echo hello\nStandardOutput=socket\n")
    disk.link(f"{folder}/sockets.target.wants/alone.socket", f"{folder}/alone.socket")


MODULE_LISTS = ("modules.dep", "modules.dep.bin", "modules.alias", "modules.alias.bin")

RECIPES = (
    Recipe(
        name="ssh-masked",
        summary="the SSH server is masked",
        disk=lambda disk: disk.mask("ssh.service", "ssh.socket"),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("masked",)),),
    ),
    Recipe(
        name="ssh-masked-where-it-is-the-only-way-in",
        summary="the SSH server is masked, and nobody is to log in on the console",
        disk=lambda disk: disk.mask("ssh.service", "ssh.socket"),
        login=None,
        expected=(Failed(stage=Stage.LOGIN, result=SSH, words=("the guest refused the connection",), seconds=150),),
    ),
    Recipe(
        name="ssh-with-a-bad-configuration",
        summary="sshd does not understand its configuration",
        disk=lambda disk: disk.put("/etc/ssh/sshd_config.d/bad.conf", "NoSuchOption yes\n"),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("ssh.service has failed", "NoSuchOption")),),
    ),
    Recipe(
        name="ssh-takes-no-password",
        summary="sshd takes keys only",
        disk=lambda disk: disk.put("/etc/ssh/sshd_config.d/keys.conf", "PasswordAuthentication no\n"),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("PasswordAuthentication no",)),),
    ),
    Recipe(
        name="ssh-on-another-port",
        summary="sshd listens on port 2222",
        disk=lambda disk: disk.put("/etc/ssh/sshd_config.d/port.conf", "Port 2222\n"),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("listens on port 2222 instead",)),),
    ),
    Recipe(
        name="ssh-without-host-keys",
        summary="the image has no host keys, and nothing makes them",
        disk=no_host_keys,
        expected=(Failed(stage=Stage.READY, result=SSH, words=("no hostkeys available",)),),
    ),
    Recipe(
        name="ssh-slow-to-start",
        summary="sshd needs 20 s before it listens; it must pass",
        disk=lambda disk: disk.drop_in("ssh.service", "[Service]\nExecStartPre=/bin/sleep 20\n"),
    ),
    Recipe(
        name="no-modules",
        summary="the kernel's modules are not found, so that no card has a driver",
        disk=lambda disk: disk.remove(*(f"/usr/lib/modules/{disk.kernel}/{name}" for name in MODULE_LISTS)),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("no driver for the card",), seconds=8, scaled=True),),
    ),
    Recipe(
        name="static-address-of-another-network",
        summary="the card has an address where no neighbour is",
        disk=lambda disk: disk.put(
            "/etc/systemd/network/01-static.network",
            "[Match]\nType=ether\n[Network]\nAddress=192.168.7.2/24\nGateway=192.168.7.1\n",
        ),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("none of its network",), seconds=30, scaled=True),),
    ),
    Recipe(
        name="no-users",
        summary="/etc/passwd is empty, so that nobody may log in and sshd does not start",
        disk=lambda disk: disk.put("/etc/passwd", ""),
        expected=(Failed(stage=Stage.LOGIN, result=SSH, words=("ssh.service has failed",), seconds=30, scaled=True),),
    ),
    Recipe(
        name="no-dhcp",
        summary="nobody asks for an address",
        disk=lambda disk: disk.put("/etc/systemd/network/80-wired.network", "[Match]\nName=e*\n[Network]\nDHCP=no\n"),
        expected=(
            Failed(
                stage=Stage.READY, result=SSH, words=("no address on any interface", "DHCP"), seconds=8, scaled=True
            ),
        ),
    ),
    Recipe(
        name="firewall-drops-22",
        summary="the guest's own firewall drops what comes for SSH",
        disk=firewall,
        expected=(
            Failed(
                stage=Stage.READY, result=SSH, words=("firewall drops what comes for port 22",), seconds=8, scaled=True
            ),
        ),
    ),
    Recipe(
        name="port-open-on-the-wrong-address",
        summary="a server listens on 127.0.0.1 only",
        disk=wrong_address,
        boot={"reach": {"tcp:8080": {"banner": "hello"}}},
        suite='port:\n  tcp:8080:\n    listening: true\n    ip: ["0.0.0.0"]\n',
        expected=(
            Failed(stage=Stage.READY, result="port tcp:8080", words=("127.0.0.1",), seconds=30, scaled=True),
            Failed(stage=Stage.READY, result="reach tcp:8080", words=("127.0.0.1",), seconds=30, scaled=True),
        ),
    ),
)
