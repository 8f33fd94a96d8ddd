"""The figures of boots: what verifying costs beside a bare QEMU, and what reading the console costs."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.measuring import MIB, Bench, highest_memory
from metallize.command import spawn
from metallize.console.port import SerialConsole
from metallize.console.rules import Scanner, built_in_rules
from metallize.console.watch import BootWatch
from metallize.host.share import usable_cores
from metallize.model.boot import ConsoleRules
from metallize.model.report import Stage

Talk = Sequence[tuple[bytes, bytes]]
"""What to wait for on a console, and what to type then."""
LOGIN_PROMPT: Talk = ((b"login:", b""),)
LOGINS: Talk = (
    (b"login:", b"admin\r"),
    (b"Password:", b"wrong\r"),
    (b"login:", b"admin\r"),
    (b"Password:", b"admin\r"),
    (b":~$ ", b""),
)
"""What boot.login asks for, typed at once: a wrong password, the right one, and a shell."""
HUNG = 3
"""So many times what a verification took, and a bare QEMU will not come to its login prompt any more."""


def verify(bench: Bench) -> None:
    """From QEMU's start to the last answer, against a bare QEMU with the same arguments up to `login:`."""
    profile = bench.profile("debian13-livecd")
    bench.metallize("build", profile)
    for machine in ("seabios", "ovmf"):
        bench.note(f"verify on {machine}, and a bare QEMU")
        compare_with_bare(bench, f"verify / bare QEMU, {machine}", profile, machine, 1.15, LOGINS)


def beside(bench: Bench) -> None:
    """Both firmwares at once against one after the other, on guests with one CPU each."""
    profile = bench.profile("debian13-livecd")
    bench.metallize("build", profile)
    small = ("--set", "boot.cpus=1")
    cores = usable_cores()
    bench.note(f"both firmwares at once, and one after the other, on {cores} cores")
    together, apart = [], []
    for _ in range(2):
        together.append(bench.metallize("verify", profile, *small, "--machine", "seabios", "--machine", "ovmf"))
        apart.append(sum(bench.metallize("verify", profile, *small, "--machine", name) for name in ("seabios", "ovmf")))
    made_of = f"{min(together):.1f} s / {min(apart):.1f} s, best of {len(together)} each, on {cores} cores"
    # with one core they take turns, and then it must cost nothing
    limit = 0.75 if cores > 1 else 1.1
    bench.add("both firmwares at once / one after the other", min(together) / min(apart), limit, "x", made_of)


def fifty_assertions() -> dict[str, dict[str, dict[str, object]]]:
    """Fifty assertions of a dozen kinds, as a profile of some standing has them."""
    folders = ["/etc", "/usr", "/var", "/home", "/opt", "/srv", "/root", "/boot", "/media", "/mnt"]
    files = ["/etc/passwd", "/etc/group", "/etc/hostname", "/etc/hosts", "/etc/os-release", "/etc/ssh/sshd_config"]
    services = ["ssh", "systemd-journald", "systemd-networkd", "systemd-logind", "systemd-resolved", "dbus"]
    packages = ["systemd", "openssh-server", "sudo", "udev", "dbus", "iproute2", "kmod", "procps"]
    return {
        "file": {
            **{name: {"exists": True, "filetype": "directory"} for name in folders},
            **{name: {"exists": True, "owner": "root"} for name in files},
        },
        "service": {name: {"running": True} for name in services},
        "package": {name: {"installed": True} for name in packages},
        "user": {name: {"exists": True} for name in ("root", "admin", "nobody", "daemon")},
        "group": {name: {"exists": True} for name in ("root", "sudo", "adm")},
        "mount": {name: {"exists": True} for name in ("/", "/proc", "/sys")},
        "process": {name: {"running": True} for name in ("systemd", "sshd")},
        "kernel-param": {"kernel.ostype": {"value": "Linux"}, "net.ipv4.ip_forward": {"value": "0"}},
        "port": {"tcp:22": {"listening": True}},
        "interface": {"lo": {"exists": True}},
        "command": {
            "uname -s": {"exit-status": 0, "stdout": ["Linux"]},
            "id -un root": {"exit-status": 0, "stdout": ["root"]},
            "test -d /run/systemd/system": {"exit-status": 0},
            "getent hosts localhost": {"exit-status": 0},
        },
    }


def harness(bench: Bench) -> None:
    """What fifty assertions cost over one way in alone, against a bare QEMU up to `login:`."""
    bench.metallize("build", bench.profile("debian13-livecd"))
    content = yaml.safe_load(bench.profile("debian13-livecd").read_text())
    # As a fleet's gate does it: root, and a key of this boot alone. A password costs an emulated guest 2 s each time.
    ways = {"ssh": {"user": "root", "key": "ephemeral"}, "login": {"user": "admin", "password": "admin"}}
    for key, way, limit in (("ssh", "ssh", 1.10), ("login", "serial", 1.25)):
        boot = {"machines": ["seabios"], key: ways[key], "assert": fifty_assertions()}
        profile = bench.scratch / "debian13-livecd.yaml"
        profile.write_text(yaml.safe_dump({**content, "boot": boot}, sort_keys=False))
        bench.note(f"fifty assertions over {way}, and a bare QEMU")
        talk = LOGINS if key == "login" else None
        compare_with_bare(bench, f"fifty assertions over {way} / bare QEMU", profile, "seabios", limit, talk)


def compare_with_bare(
    bench: Bench, name: str, profile: Path, machine: str, limit: float, talk: Talk | None = None
) -> None:
    """Three verifications and three bare boots in turn, and three in which somebody types `talk`; the best of each.

    A verification counts until all that is asked has answered: how long the end of a boot is, a profile says.
    """
    ours, bare, typed = [], [], []
    for _ in range(3):
        bench.metallize("verify", profile, "--machine", machine)
        folder = max((bench.scratch / "build/runs/debian13-livecd" / machine).iterdir())
        report = json.loads((folder / "report.json").read_text())
        ready = next(item["seconds"] for item in report["stages"] if item["stage"] == Stage.READY)
        ours.append((float(report["rest_seconds"]), float(ready), float(report["seconds"])))
        log = bench.scratch / f"bare-{machine}.log"
        took = seconds_of_talk(folder / "repro.sh", log, LOGIN_PROMPT, limit=HUNG * ours[-1][2])
        if talk is not None:
            typed.append(seconds_of_talk(folder / "repro.sh", log, talk, limit=HUNG * ours[-1][2]))
        if took is None:
            # an emulated CPU that hangs is QEMU's own, and says nothing of what verifying costs
            bench.note(f"a bare QEMU showed no login prompt within {HUNG * ours[-1][2]:.0f} s, and is left out")
        else:
            bare.append(took)
    if not bare:
        raise SystemExit(f"error: no bare QEMU showed a login prompt\n{log.read_text(errors='replace')[-2000:]}")
    (mine, ready, verdict), floor = min(ours), min(bare)
    end = f"the verdict {verdict - mine:.1f} s later"
    first = f"{end}; its first command ran in the guest after {ready:.1f} s: {ready / floor:.2f} x"
    logins = [took for took in typed if took is not None]
    if logins:
        least = min(logins)
        first += f"; a bare QEMU with its logins alone, typed at once, takes {least:.1f} s: {least / floor:.2f} x"
    best = f"best of {len(ours)} and of {len(bare)}"
    bench.add(name, mine / floor, limit, "x", f"{mine:.1f} s / {floor:.1f} s, {best}; {first}")


def seconds_of_talk(script: Path, log: Path, talk: Talk, limit: float) -> float | None:
    """Boot by the run's own script and stop at the end of the talk; None where that does not come within the limit."""
    start = time.monotonic()
    seen, position = b"", 0
    scratch = {"TMPDIR": str(log.parent)}
    with spawn(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=scratch) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                for wanted, answer in talk:
                    while (at := seen.find(wanted, position)) < 0:
                        left = limit - (time.monotonic() - start)
                        if left <= 0 or not selector.select(left):
                            return None
                        chunk = os.read(process.stdout.fileno(), 65536)
                        if not chunk:
                            return None
                        seen += chunk
                    position = at + len(wanted)
                    os.write(process.stdin.fileno(), answer)
            return time.monotonic() - start
        finally:
            # the shell and the QEMU under it
            os.killpg(process.pid, signal.SIGKILL)
            log.write_bytes(seen)


def console(bench: Bench) -> None:
    """25 MB of console at full speed: the processor time of all that reads, cleans, keeps and judges them."""
    bench.note("25 MB of console, of several kinds")
    kernel = (
        b"[    1.234567] pci 0000:00:1f.2: BAR 4 [io  0x0600-0x0603]: assigned, as in every boot of this machine\r\n"
    )
    status = b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r\n"
    floods = {
        "a boot's text": kernel * 300 + status * 300,
        "no newlines": b"x" * 60_000,
        "only escapes": b"\x1b[0m\x1b[1;31m\x1b[K\x1b(B" * 3000,
        "failing units": b"[FAILED] Failed to start a.service - A thing that fails each time.\r\n" * 800,
        "a program's text": b"some words of a program that tells of all that it does, line after line\r\n" * 800,
        "near misses": b"app[412]: Kernel panic - not syncing: this is only what somebody says here\r\n" * 800,
        "near misses of every rule": _near_misses(),
        "invalid UTF-8": bytes(range(128, 256)) * 400,
        "what hides": "\u009d52;c;x\u0085y \u202e\u200b z\r\n".encode() * 2500,
    }
    costs = {name: min(_flood_seconds(bench, flood) for _ in range(2)) for name, flood in floods.items()}
    peak = highest_memory(os.getpid())
    _flood_seconds(bench, floods["a boot's text"])
    grown = max(0, highest_memory(os.getpid()) - peak)
    made_of = ", ".join(f"{name} {25 / seconds:.0f} MB/s" for name, seconds in costs.items())
    bench.add("25 MB of a boot's console", costs["a boot's text"], 1.25, "s", "processor time; 1.25 s are 20 MB/s")
    bench.add("25 MB of the worst console", max(costs.values()), 1.25, "s", made_of)
    bench.add("memory for 25 MB more of console", grown / MIB, 4, "MiB", "growth of the peak")


def _near_misses() -> bytes:
    """Lines that hold what the rules look for, and mean nothing."""
    rules = [rule for rule in built_in_rules() if not rule.prompt]
    lines = [
        *(line for rule in rules for line in rule.near_misses),
        *(f"x: {n}" for rule in rules for n in rule.needles),
    ]
    silent = [line for line in lines if not Scanner(ConsoleRules()).scan(f"{line}\n")]
    return "".join(f"{line}\r\n" for line in silent * 8).encode()


def _flood_seconds(bench: Bench, flood: bytes, size_bytes: int = 25_000_000) -> float:
    near, far = socket.socketpair()
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")
    watch.console_text("[    0.000000] Linux version 6.12\nWelcome to Debian!\n", "")
    reader = SerialConsole(near, bench.scratch, watch)
    reader.start()
    start = time.process_time()
    with far:
        for _ in range(size_bytes // len(flood)):
            far.sendall(flood)
    reader.close()
    watch.check()
    return time.process_time() - start
