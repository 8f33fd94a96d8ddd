"""When SSH is dead: what the serial shell sees of the network and of the server, and which of it explains it."""

from __future__ import annotations

import re

from metallize.model.kind import Observation

PROBES = {
    "addresses": "ip -o addr 2>/dev/null || cat /proc/net/fib_trie",
    "links": "ip -br link 2>/dev/null || cat /proc/net/dev",
    "routes": "ip route 2>/dev/null || cat /proc/net/route",
    "sockets": "ss -ltnp 2>/dev/null || cat /proc/net/tcp /proc/net/tcp6",
    "unit": (
        "for u in ssh.socket ssh.service sshd.service; do "
        "systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState,Result $u 2>/dev/null; done"
    ),
    "config": "(command -v sshd >/dev/null || exit 0; sshd -t 2>&1)",
    "settings": "sshd -T 2>/dev/null | grep -Ei '^(passwordauthentication|permitrootlogin|kbdinteractive|usepam|allow|deny)'",
    "firewall": "nft list ruleset 2>/dev/null || iptables -S 2>/dev/null",
    "journal": "journalctl -b -n 30 --no-pager -o cat -u ssh.service -u sshd.service -u ssh.socket 2>/dev/null",
}
"""Snippets by name; a batch runs them all at once."""


def explain_ssh(seen: dict[str, Observation | None], problem: str, *, port: int = 22) -> str:
    """Which of the observations explains that SSH failed, in one sentence; pure."""
    text = {name: observation.stdout if observation else "" for name, observation in seen.items()}
    addresses = [
        line for line in text.get("addresses", "").splitlines() if " inet " in line and not re.search(r"\blo\b", line)
    ]
    refused = "refused" in problem or "does not take" in problem
    if refused:
        settings = text.get("settings", "").lower()
        if "passwordauthentication no" in settings:
            return "sshd listens, but its configuration refuses passwords (PasswordAuthentication no)"
        return f"sshd listens, but the login was refused: {problem}"
    units = _units(text.get("unit", ""))
    loaded = {name: unit for name, unit in units.items() if unit.get("LoadState") not in ("not-found", None, "")}
    if not _listens(text.get("sockets", ""), port):
        for name, unit in loaded.items():
            if unit["LoadState"] == "masked":
                return f"nothing listens on port {port}: {name} is masked"
        for name, unit in loaded.items():
            if unit.get("ActiveState") == "failed":
                why = _first_line(text.get("config", "")) or _error_line(text.get("journal", ""))
                return f"nothing listens on port {port}: {name} has failed" + (f" ({why})" if why else "")
        for name, unit in loaded.items():
            if unit.get("ActiveState") != "active":
                state = unit.get("UnitFileState") or "not enabled"
                return f"nothing listens on port {port}: {name} is {unit.get('ActiveState')} ({state})"
        if not loaded and text.get("unit"):
            return f"nothing listens on port {port}: no SSH server is installed"
        return f"nothing listens on port {port}"
    if not addresses:
        return "the guest has no address on any interface but lo: is a DHCP client enabled for it?"
    if not re.search(r"^default ", text.get("routes", ""), re.MULTILINE):
        return "sshd listens and there is an address, but no default route"
    if re.search(r"\b(drop|DROP|reject|REJECT)\b", text.get("firewall", "")):
        return "sshd listens and there is an address: the guest's firewall drops or rejects packets"
    return f"sshd listens and the network is up, and yet: {problem}"


def _units(text: str) -> dict[str, dict[str, str]]:
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def _listens(sockets: str, port: int) -> bool:
    pattern = rf"^LISTEN\s.*[:\]]{port}\s|^\s*\d+: [0-9A-F]+:{port:04X} \S+ 0A "
    return re.search(pattern, sockets, re.MULTILINE) is not None


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else ""


def _error_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if re.search(r"error|fatal|cannot|[Ff]ailed", line)), "")
