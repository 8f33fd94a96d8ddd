"""When SSH is dead: what the serial shell sees of the network and of the server, and which of it explains it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metallize.model.kind import Observation
from metallize.shells.ssh_errors import LETS_IN
from metallize.verify.why.journal import explained

NO_ADDRESS = "the guest has no address on any interface but lo (is a DHCP client enabled for it?)"
NO_CARD = "the guest has no network interface but lo: its kernel has no driver for the card (are its modules there?)"
NO_NETWORK = (NO_ADDRESS, NO_CARD)
USER_NETWORK = "10.0.2."
"""QEMU's, in which the host is 10.0.2.2."""
ANY_ADDRESS = ("0.0.0.0", "*", "[::]")  # noqa: S104 - what the guest listens on
IPV4_DIGITS = 8
NOTHING_LISTENS = "nothing listens on port"
FIREWALL_DROPS = "sshd listens and there is an address, but the guest's firewall drops what comes for port"
SOCKETS_PROBE = "ss -ltn 2>/dev/null"
EPHEMERAL_REFUSED = "refused the key made for this boot"
CREDENTIALS_SINCE = 252
"""The systemd from which systemd-tmpfiles reads the credential tmpfiles.extra."""
PROBES = {
    "addresses": (
        'ip -o addr 2>/dev/null || for a in $(hostname -I 2>/dev/null || hostname -i); do echo "- inet $a"; done'
    ),
    "links": "ip -br link 2>/dev/null || cat /proc/net/dev",
    "routes": "ip route 2>/dev/null || cat /proc/net/route",
    "sockets": "ss -ltnp 2>/dev/null || cat /proc/net/tcp /proc/net/tcp6",
    "unit": (
        "for u in ssh.socket ssh.service sshd.service; do "
        "systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState,Result $u 2>/dev/null; echo; done"
    ),
    "config": "(command -v sshd >/dev/null || exit 0; sshd -t 2>&1)",
    "settings": "sshd -T 2>/dev/null | grep -Ei '^(password|permitroot|kbdinteractive|usepam|allow|deny)'",
    "firewall": "nft list ruleset 2>/dev/null || iptables -S 2>/dev/null",
    "firmware key": (
        "echo \"systemd $({ systemctl --version || echo '- none'; } 2>/dev/null | sed -n '1s/[^ ]* //p')\"; "
        "ls -d /run/credentials/@system/tmpfiles.extra 2>/dev/null; ls -ld /root/.ssh/* /home/*/.ssh/* 2>/dev/null"
    ),
    "journal": (
        "{ journalctl -b -n 60 --no-pager -o cat -t sshd -t sshd-session -t sshd-auth -t ssh"
        " -u ssh.service -u sshd.service -u ssh.socket 2>/dev/null"
        " || tail -n 60 /var/log/auth.log /var/log/secure /var/log/messages 2>/dev/null; } | cut -c 1-400"
    ),
}
"""Snippets by name; a batch runs them all at once."""


def named_key(problem: str) -> str:
    """A refusal of the ephemeral key called so: mostly it is the image that cannot take one."""
    if "refused the key" not in problem:
        return problem
    return (
        f"{problem.replace('refused the key', EPHEMERAL_REFUSED, 1)} (systemd {CREDENTIALS_SINCE} or later takes one)"
    )


def explain_ssh(seen: dict[str, Observation | None], problem: str, *, port: int = 22) -> str:
    """Which of the observations explains that SSH failed, in one sentence; pure.

    A line of the guest's journal that says why comes first: then the rest is no cause, but what it led to.
    """
    text = {name: observation.stdout if observation else "" for name, observation in seen.items()}
    if problem.startswith(LETS_IN) or re.search("the handshake failed|no algorithm in common|cannot agree", problem):
        reason = problem  # somebody listens and answers: neither sockets nor network explain more
    elif EPHEMERAL_REFUSED in problem or re.search("refused the (password|key)|does not take", problem):
        reason = _why_refused(text, problem)
    else:
        return _why_no_answer(text, problem, port)
    said = explained(text.get("journal", ""), passwords="refused the password" in problem)
    return f"{said}; {reason}" if said else reason


def _why_refused(text: dict[str, str], problem: str) -> str:
    if EPHEMERAL_REFUSED in problem:
        return f"sshd listens, but does not take the key that the firmware handed over: {_why_no_key(text)}"
    if "password" in problem and "passwordauthentication no" in text.get("settings", "").lower():
        return "sshd listens, but its configuration refuses passwords (PasswordAuthentication no)"
    return f"sshd listens, but the login was refused: {problem}"


def _why_no_answer(text: dict[str, str], problem: str, port: int) -> str:
    addresses = _listeners(text.get("sockets", ""), port)
    if not addresses:
        return f"{NOTHING_LISTENS} {port}{_why_not(text)}"
    if all(address.startswith(("127.", "[::1]", "::1")) for address in addresses):
        return f"sshd listens on {' and '.join(addresses)} only, where nobody outside the guest gets to (ListenAddress)"
    network = _network(text, addresses)
    drops = not network.startswith(NO_NETWORK) and _drops(text.get("firewall", ""), port)
    return f"{FIREWALL_DROPS} {port}" if drops else f"{network}: {problem}"


def failed_server(causes: Iterable[str]) -> str:
    """Why no SSH server answers, from what the console alone told of units; empty where that is no reason. Pure."""
    found = (re.search(r"unit failed: (sshd?\.(?:service|socket))\b", cause) for cause in causes)
    unit = next((match[1] for match in found if match), "")
    return f"{NOTHING_LISTENS} 22: {unit} has failed, as the console says" if unit else ""


def explain_reach(sockets: str, port: int) -> str:
    """Why the host does not reach a port, from `ss -ltn` in the guest; empty where that is no reason. Pure."""
    addresses = re.findall(rf"^LISTEN\s+\d+\s+\d+\s+(\S+):{port}\s", sockets, re.MULTILINE)
    if not sockets.strip():
        return ""
    if not addresses:
        return f"in the guest, {NOTHING_LISTENS} {port}"
    inside = [address for address in addresses if re.match(r"127\.|\[::1\]|\[::ffff:127\.", address)]
    return f"in the guest, port {port} is open on {' and '.join(inside)} only" if inside == addresses else ""


def _drops(firewall: str, port: int) -> bool:
    """Whether a rule of nft(8) or iptables(8) names the port, and drops or rejects."""
    nft = rf"\bdport (?:{port}\b|\{{[^}}\n]*\b{port}\b)[^\n]*\b(?:drop|reject)\b"
    iptables = rf"--dports? (?:\S*,)?{port}\b[^\n]*-j (?:DROP|REJECT)"
    return re.search(f"{nft}|{iptables}", firewall) is not None


def _why_no_key(text: dict[str, str]) -> str:
    """Why a key handed in as a credential did not become an authorized one (systemd.system-credentials(7))."""
    seen = text.get("firmware key", "")
    version = re.search(r"^systemd (\d+)", seen, re.MULTILINE)
    if version is None:
        return "the image has no systemd, which would take it; declare a password, or a key that the image holds"
    if int(version[1]) < CREDENTIALS_SINCE:
        return (
            f"the image's systemd {version[1]} takes none ({CREDENTIALS_SINCE} and later do); "
            "declare a password, or a key that the image holds"
        )
    if "tmpfiles.extra" not in seen:
        return "systemd found no credential; is the kernel built with CONFIG_DMI_SYSFS?"
    if "authorized_keys" not in seen:
        return "systemd-tmpfiles did not write it; is the user's home /root, or of the user's name in /home?"
    return "authorized_keys is there; see sshd's journal (its settings, or the file's owner or mode)"


def _why_not(text: dict[str, str]) -> str:
    """What the unit says of a server that does not listen."""
    elsewhere = sorted(set(re.findall(r"^LISTEN\s(?>.*?:(\d+)\s).*\"sshd", text.get("sockets", ""), re.MULTILINE)))
    if elsewhere:
        return f": sshd listens on port {' and '.join(elsewhere)} instead"
    units = _units(text.get("unit", ""))
    loaded = {name: unit for name, unit in units.items() if unit.get("LoadState") not in ("not-found", None, "")}
    if not loaded:
        return ": no SSH server is installed" if units else ""
    for name, unit in loaded.items():
        if unit["LoadState"] == "masked":
            return f": {name} is masked"
    for name, unit in loaded.items():
        if unit.get("ActiveState") == "failed":
            journal, config = text.get("journal", ""), text.get("config", "")
            why = explained(f"{journal}\n{config}") or _first_line(config) or _error_line(journal)
            return f": {name} has failed" + (f" ({why})" if why else "")
    for name, unit in loaded.items():
        if unit.get("ActiveState") != "active" and not (name == "ssh.socket" and len(loaded) > 1):
            return f": {name} is {unit.get('ActiveState')} ({unit.get('UnitFileState') or 'not enabled'})"
    return ""


def _network(text: dict[str, str], listeners: list[str]) -> str:
    """What stands between a server that listens and the host, which is a neighbour in the guest's network."""
    lines = text.get("addresses", "").splitlines()
    own = [found[1] for line in lines if (found := re.search(r" inet (?!127\.)([\d.]+)", line))]
    if not own:
        return _why_no_address(text.get("links", ""))
    if not any(address in ANY_ADDRESS or address.split("%")[0] in own for address in listeners):
        return f"sshd listens on {' and '.join(listeners)}, and the guest's address is {' and '.join(own)}"
    firewall = text.get("firewall", "")
    if found := re.search(r"^.*\b(?:drop|DROP|reject|REJECT)\b.*$", firewall, re.MULTILINE):
        return (
            "sshd listens and there is an address, but the guest's firewall drops or rejects packets "
            f"({found[0].strip()[:120]})"
        )
    if not any(address.startswith(USER_NETWORK) for address in own):
        return f"sshd listens, but the guest's address {' and '.join(own)} is none of its network, 10.0.2.0/24"
    return "sshd listens and the network is up, and yet"


def _why_no_address(links: str) -> str:
    """By what ip(8) or /proc/net/dev shows of the interfaces."""
    if set(re.findall(r"^ *([\w.-]+)(?:@\S+ |: | +[A-Z]+ )", links, re.MULTILINE)) == {"lo"}:
        return NO_CARD
    down = re.findall(r"^(?!lo\b)(\S+)\s+DOWN\b", links, re.MULTILINE)
    return f"{NO_ADDRESS}; {' and '.join(down)} is down" if down else NO_ADDRESS


def _units(text: str) -> dict[str, dict[str, str]]:
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in re.split(r"\n{2,}", text)
    ]
    return {block["Id"]: block for block in blocks if "Id" in block}


def _listeners(sockets: str, port: int) -> list[str]:
    """The addresses on which somebody listens at a port, as ss(8) or /proc/net/tcp shows them."""
    shown = re.findall(rf"^LISTEN\s+\d+\s+\d+\s+(\S+):{port}\s", sockets, re.MULTILINE)
    kernel = re.findall(rf"^\s*\d+: ([0-9A-F]+):{port:04X} \S+ 0A ", sockets, re.MULTILINE)
    return list(dict.fromkeys([*shown, *map(_address, kernel)]))


def _address(text: str) -> str:
    """An address of /proc/net/tcp, whose bytes stand in the order of the machine."""
    if not text.strip("0"):
        return "0.0.0.0"  # noqa: S104 - what the guest listens on
    if len(text) != IPV4_DIGITS:
        return "::1" if text == "00000000000000000000000001000000" else text
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else ""


def _error_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if re.search(r"error|fatal|cannot|[Ff]ailed", line)), "")
