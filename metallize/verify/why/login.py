"""When nobody can log in on the serial port: what another shell sees of getty and of the account that explains it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from metallize.model.kind import Observation
from metallize.verify.why.journal import explained

NO_GETTY = "nothing offers a login on"


def login_probes(port: str, user: str) -> dict[str, str]:
    """Snippets by name; a batch runs them all at once."""
    name = shlex.quote(user)
    return {
        "command line": "cat /proc/cmdline",
        "getty": f"systemctl show -p LoadState,ActiveState,SubState,Result,Job serial-getty@{port}.service 2>/dev/null",
        "gettys": (
            "systemctl list-units --plain --no-legend --no-pager '*getty@*.service' 2>/dev/null"
            " | while read -r u rest; do echo $u; done"
        ),
        "processes": (
            f"for p in /proc/[0-9]*; do [ $(readlink $p/fd/0) = /dev/{port} ] && cat $p/comm; done 2>/dev/null"
        ),
        "account": f"passwd -S {name} 2>/dev/null",
        "expiry": f"getent shadow {name} 2>/dev/null | cut -d: -f3-8",
        "login's journal": ("journalctl -b -n 40 --no-pager -o cat -t login -t agetty 2>/dev/null | cut -c 1-400"),
        "getty's command": (
            f"systemctl cat serial-getty@{port}.service 2>/dev/null | grep -E '^(# /|ExecStart=)';"
            f" cat /etc/inittab 2>/dev/null | grep {port}"
        ),
    }


def explain_no_prompt(seen: Mapping[str, Observation | None], port: str) -> str:
    """Why no login prompt comes on a serial port of a system that has settled; empty where one may come; pure."""
    text = {name: observation.stdout.strip() if observation else "" for name, observation in seen.items()}
    unit = dict(line.split("=", 1) for line in text.get("getty", "").splitlines() if "=" in line)
    if not unit or text.get("processes") or unit.get("Job", "0") not in ("", "0"):
        return ""
    if unit.get("ActiveState") == "active":
        return ""
    return f"{NO_GETTY} {port}: {_why_no_getty(unit, text, port)}"


def _why_no_getty(unit: Mapping[str, str], text: Mapping[str, str], port: str) -> str:
    name = f"serial-getty@{port}.service"
    if unit.get("LoadState") == "masked":
        return f"{name} is masked"
    if unit.get("ActiveState") != "inactive":
        return f"{name} is {unit.get('ActiveState')} ({unit.get('SubState')}, {unit.get('Result')})"
    elsewhere = [word for word in text.get("gettys", "").split() if word.startswith("serial-getty@")]
    if elsewhere:
        return f"{name} is not started; {', '.join(elsewhere)} is, on another port"
    command_line = text.get("command line", "")
    if re.search(rf"\bconsole={port}\b", command_line):
        return f"{name} is not started"
    consoles = re.findall(r"\bconsole=\S+", command_line)
    have = f"only {' '.join(consoles)}" if consoles else "no console= at all"
    return f"the kernel's command line has no console={port}, but {have}"


def explain_no_login(seen: Mapping[str, Observation | None], port: str) -> str:
    """Why a shell stands where a login was expected; empty where nothing seen says so; pure."""
    place = ""
    command = seen.get("getty's command")
    for line in command.stdout.splitlines() if command else ():
        if line.startswith("# /"):
            place = line[2:].strip()
        # a drop-in that only begins anew has an empty one before its own
        elif re.search(r"(?:^|\s)(?:--autologin\b|-a\s)", line):
            where = f" in {place}" if place else ""
            return (
                f"the getty of {port} logs in by itself (--autologin{where}): take it out, or declare no boot.login "
                "for this image"
            )
    return ""


def explain_refusal(seen: Mapping[str, Observation | None], user: str) -> str:
    """What the account, or the journal, says of a login that was refused; empty where neither does; pure."""
    text = {name: observation.stdout.strip() if observation else "" for name, observation in seen.items()}
    words = text.get("account", "").split()
    journal = text.get("login's journal", "")
    # one is the wrong password, which is tried first
    said = explained(journal, passwords=journal.count("authentication failure;") > 1)
    match words[1:2]:
        case ["L" | "LK"]:
            return f"the account of {user} is locked (passwd -u {user} unlocks it)"
        case ["NP"]:
            return f"{user} has no password"
        case _:
            return said
