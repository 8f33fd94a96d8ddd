"""What explains a dead SSH, from what a serial shell saw."""

from __future__ import annotations

import pytest

from metallize.model.kind import Observation
from metallize.verify.why.ssh import PROBES, explain_reach, explain_ssh, failed_server, named_key

ADDRESSES = (
    "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n"
    "2: ens3    inet 10.0.2.15/24 metric 1024 brd 10.0.2.255 scope global dynamic ens3\\       valid_lft 86000sec\n"
)
LISTENS = "State  Recv-Q Send-Q Local Address:Port Peer\nLISTEN 0      128          0.0.0.0:22        0.0.0.0:*\n"
ROUTES = "default via 10.0.2.2 dev ens3 proto dhcp\n10.0.2.0/24 dev ens3\n"
NOTHING = "no SSH server answered within 99 s"


def unit(load: str = "loaded", active: str = "active", file: str = "enabled") -> str:
    return f"Id=ssh.service\nLoadState={load}\nActiveState={active}\nSubState=x\nUnitFileState={file}\nResult=x\n"


def explain(problem: str = NOTHING, **texts: str) -> str:
    base = {"addresses": ADDRESSES, "sockets": LISTENS, "routes": ROUTES, "unit": unit()} | texts
    seen = {
        name: Observation(status=0, stdout=base.get(name, ""), stderr="", seconds=0.1) if name in base else None
        for name in PROBES
    }
    return explain_ssh(seen, problem)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"sockets": "", "unit": unit(load="masked", active="inactive")}, "ssh.service is masked"),
        ({"sockets": "", "unit": unit(active="inactive", file="disabled")}, "ssh.service is inactive (disabled)"),
        (
            {"sockets": "", "unit": unit(active="failed"), "config": "/etc/ssh/sshd_config: line 5: Bad option: X\n"},
            "ssh.service has failed (/etc/ssh/sshd_config: line 5: Bad option: X)",
        ),
        ({"sockets": "", "unit": unit(load="not-found", active="inactive")}, "no SSH server is installed"),
        ({"addresses": ADDRESSES.splitlines()[0]}, "no address on any interface"),
        # in a closed network there is none, and the host is a neighbour
        ({"routes": "10.0.2.0/24 dev ens3\n"}, "sshd listens and the network is up"),
        ({"firewall": "chain input { tcp dport 22 drop }"}, "firewall drops what comes for port 22"),
        ({"firewall": "tcp dport { 22, 80 } ct state new drop"}, "firewall drops what comes for port 22"),
        ({"firewall": "-A INPUT -p tcp -m tcp --dport 22 -j DROP"}, "firewall drops what comes for port 22"),
        (
            {"firewall": "-A INPUT -p tcp -m multiport --dports 80,22 -j REJECT"},
            "firewall drops what comes for port 22",
        ),
        ({"firewall": "chain input { policy drop; tcp dport 2222 drop }"}, "firewall drops or rejects packets"),
        ({"addresses": ADDRESSES.splitlines()[0], "firewall": "tcp dport 22 drop"}, "no address on any interface"),
        ({"sockets": LISTENS.replace("0.0.0.0:22", "127.0.0.1:22")}, "listens on 127.0.0.1 only"),
        (
            {"sockets": LISTENS.replace("0.0.0.0:22", "192.0.2.1:22")},
            "listens on 192.0.2.1, and the guest's",
        ),
        ({"sockets": LISTENS.replace("0.0.0.0:22", "10.0.2.15:22")}, "sshd listens and the network is up"),
        ({"sockets": LISTENS.replace("0.0.0.0:22", "[::]:22")}, "sshd listens and the network is up"),
        (
            {"sockets": 'LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* users:(("sshd",pid=412,fd=3))\n'},
            "nothing listens on port 22: sshd listens on port 2222 instead",
        ),
        ({"sockets": "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000\n"}, "listens on 127.0.0.1 only"),
        (
            {"addresses": ADDRESSES.splitlines()[0], "links": "lo UNKNOWN 00:00\nens3             DOWN  52:54:00\n"},
            "ens3 is down",
        ),
        ({"addresses": ADDRESSES.splitlines()[0], "links": "lo UNKNOWN 00:00 <LOOPBACK>\n"}, "no driver for the card"),
        (
            {"addresses": "", "links": "Inter-|   Receive\n face |bytes\n    lo:    1340      10    0\n"},
            "no driver for the card",
        ),
        (
            {"addresses": "", "links": " face |bytes\n    lo:    1340      10    0\n  eth0:       0       0\n"},
            "no address on any interface",
        ),
        ({"addresses": ADDRESSES.replace("10.0.2.15", "192.168.7.5")}, "192.168.7.5 is none of its network"),
        ({"firewall": "-P INPUT DROP\n"}, "firewall drops or rejects packets (-P INPUT DROP)"),
        ({}, "sshd listens and the network is up, and yet"),
        ({"sockets": "   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n"}, "sshd listens and the network is up"),
    ],
)
def test_the_cause_is_named(texts: dict[str, str], words: str) -> None:
    assert words in explain(**texts)


def test_a_refusal_is_no_matter_of_the_network() -> None:
    refused = "the SSH server refused the password of admin: Authentication failed."
    assert "was refused" in explain(refused)
    for problem in (refused, "the SSH server does not take a password: it allows publickey"):
        assert "PasswordAuthentication no" in explain(problem, settings="passwordauthentication no\n")


def test_nothing_seen_is_survived() -> None:
    assert explain_ssh(dict.fromkeys(PROBES), NOTHING).startswith("nothing listens on port 22")


SOCKETS = """\
State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess
LISTEN 0      4096       127.0.0.1:8080      0.0.0.0:*
LISTEN 0      4096           [::1]:8080         [::]:*
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*
LISTEN 0      128                *:443             *:*
LISTEN 0      128        127.0.0.1:443       0.0.0.0:*
"""


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (8080, "in the guest, port 8080 is open on 127.0.0.1 and [::1] only"),
        (80, "in the guest, nothing listens on port 80"),
        (22, ""),
        (443, ""),
    ],
)
def test_why_a_port_is_not_reached(port: int, words: str) -> None:
    assert explain_reach(SOCKETS, port) == words
    assert explain_reach("", port) == ""


KEY_REFUSED = "the SSH server refused the key of admin: Authentication failed."


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("systemd 247 (247.3-7)\n", "the image's systemd 247 takes none (252 and later do)"),
        ("systemd - none\n", "the image has no systemd"),
        ("systemd 257 (257.8)\n", "systemd found no credential"),
        ("systemd 257 (257.8)\n/run/credentials/@system/tmpfiles.extra\n", "systemd-tmpfiles did not write it"),
        (
            "systemd 252\n/run/credentials/@system/tmpfiles.extra\n-rw- /home/admin/.ssh/authorized_keys\n",
            "authorized_keys is there",
        ),
    ],
)
def test_why_an_image_took_no_ephemeral_key(seen: str, words: str) -> None:
    said = explain(named_key(KEY_REFUSED), **{"firmware key": seen, "settings": "passwordauthentication no\n"})
    assert words in said
    assert said.startswith("sshd listens, but does not take the key that the firmware handed over")


def test_a_key_of_the_images_own_is_explained_otherwise() -> None:
    assert explain(KEY_REFUSED, **{"firmware key": "systemd 247\n"}).startswith(
        "sshd listens, but the login was refused"
    )
    assert named_key("no SSH server answered") == "no SSH server answered"


def test_a_server_that_failed_is_known_from_the_console_alone() -> None:
    causes = ["a unit failed: dbus.service - D-Bus", "a unit failed: ssh.service - OpenBSD Secure Shell server"]
    assert failed_server(causes) == "nothing listens on port 22: ssh.service has failed, as the console says"
    assert failed_server(causes[:1]) == failed_server(["a unit failed: sshd-keygen.service - host keys"]) == ""


PASSWORD_REFUSED = "the SSH server refused the password of admin: Authentication failed."
NOBODY_IN = "the SSH server lets admin in, but no shell answers"


@pytest.mark.parametrize(
    "problem", [NOBODY_IN, "the SSH server answered, but the handshake failed: it said nothing more"]
)
def test_what_an_answering_server_did_is_the_reason_itself(problem: str) -> None:
    assert explain(problem) == problem


def test_the_journal_of_a_server_that_failed_is_in_its_reason() -> None:
    """How the reason begins is what the time for SSH hangs on."""
    journal = (
        "Permissions 0644 for '/etc/ssh/ssh_host_rsa_key' are too open.\nsshd: no hostkeys available -- exiting.\n"
    )
    said = explain("", sockets="", unit=unit(active="failed"), journal=journal, config="no hostkeys available")
    assert said.startswith("nothing listens on port 22: ssh.service has failed (")
    assert "are too open" in said
    assert "chmod 600 /etc/ssh/ssh_host_rsa_key" in said


def test_a_line_of_the_journal_comes_first_where_the_login_was_refused() -> None:
    line = "User admin from 10.0.2.2 not allowed because not listed in AllowUsers\n"
    said = explain(
        PASSWORD_REFUSED, journal=f"{line}Failed password for invalid user admin from 10.0.2.2 port 1 ssh2\n"
    )
    assert said.startswith("sshd lets admin not in, who is not listed in AllowUsers: add it to AllowUsers")
    assert "was refused" in said
    assert explain(NOBODY_IN, journal="Failed password for root from 10.0.2.2 port 1 ssh2\n") == NOBODY_IN
