"""systemd units that run a night by themselves, as text: a service, a timer, and a look whether a night came at all.

Sources: systemd.exec(5), systemd.service(5), systemd.timer(5), systemd.syntax(7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from metallize.errors import FULL, MAKE_ROOM, ExitCode, HostError, UsageError
from metallize.report.files import write_whole

NAME = "metallize-nightly"
LATE = f"{NAME}-late"
LATE_HOURS = 26
"""After so long without a night one is missed: a day, and the time that one may take longer than the one before."""
LONGEST = timedelta(hours=18)
"""A night that takes longer is ended, while it still goes on with the next start (metallize.night.course.journal)."""
_STAMP = "# Written by metallize nightly --install; what is changed by hand it does not overwrite: "


class Manager(StrEnum):
    """Whose systemd runs it."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nightly:
    """What is installed."""

    manager: Manager
    command: tuple[str, ...]
    """Starts metallize: an interpreter and its words, with whole paths."""
    words: tuple[str, ...]
    """Of `metallize nightly`."""
    folder: Path
    """In which it runs."""
    build_dir: Path
    writable: tuple[Path, ...]
    """What it writes to besides."""
    at: str
    """When: systemd.time(7), calendar events."""
    path: str
    """Where programs are looked for."""


def units_of(nightly: Nightly) -> Mapping[str, str]:
    """The files by their names. Raises UsageError for a word that no unit can hold."""
    late = ("nightly", "--late", str(LATE_HOURS), "--build-dir", str(nightly.build_dir))
    return {
        f"{NAME}.service": stamped(_service(nightly)),
        f"{NAME}.timer": stamped(_timer("Metallize: a night", nightly.at, "10min")),
        f"{LATE}.service": stamped(_late_service(nightly, late)),
        f"{LATE}.timer": stamped(_timer("Metallize: whether a night came", "*-*-* *:30:00", "1min")),
    }


def _service(nightly: Nightly) -> str:
    return "\n".join(
        (
            "[Unit]",
            "Description=Metallize: every image built, booted and judged",
            *_after(nightly),
            "StartLimitIntervalSec=1d",
            "StartLimitBurst=4",
            "",
            "[Service]",
            "# It tells that it is alive with each event; one that tells nothing for so long is ended.",
            "Type=notify",
            "NotifyAccess=main",
            "WatchdogSec=2h",
            f"RuntimeMaxSec={int(LONGEST.total_seconds() // 3600)}h",
            *_runs(nightly, ("nightly", *nightly.words)),
            "# What ends it but for itself has it go on where it was.",
            "Restart=on-abnormal",
            f"SuccessExitStatus={int(ExitCode.INTERRUPTED)}",
            "RestartSec=1min",
            "KillMode=mixed",
            "TimeoutStopSec=5min",
            "Nice=10",
            *_hardened(nightly),
            "",
        )
    )


def _late_service(nightly: Nightly, words: Sequence[str]) -> str:
    return "\n".join(
        (
            "[Unit]",
            "Description=Metallize: tell where no night came",
            *_after(nightly),
            "",
            "[Service]",
            "Type=oneshot",
            "TimeoutStartSec=10min",
            *_runs(nightly, words),
            *_hardened(nightly),
            "",
        )
    )


def _timer(description: str, at: str, delay: str) -> str:
    return "\n".join(
        (
            "[Unit]",
            f"Description={description}",
            "",
            "[Timer]",
            f"OnCalendar={at}",
            f"RandomizedDelaySec={delay}",
            "Persistent=true",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        )
    )


def _after(nightly: Nightly) -> tuple[str, ...]:
    if nightly.manager is Manager.USER:  # it knows no unit of the system's
        return ()
    return ("Wants=network-online.target", "After=network-online.target docker.service")


def _runs(nightly: Nightly, words: Sequence[str]) -> tuple[str, ...]:
    folder = "/etc/metallize" if nightly.manager is Manager.SYSTEM else "%E/metallize"
    return (
        f"ExecStart={' '.join(map(quoted, (*nightly.command, *words)))}",
        f"WorkingDirectory={_plain(str(nightly.folder))}",
        f"Environment={quoted(f'PATH={nightly.path}', of_command=False)}",
        "# METALLIZE_NOTIFY and whatever else it is to know, and others are not.",
        f"EnvironmentFile=-{folder}/nightly.env",
    )


def _hardened(nightly: Nightly) -> tuple[str, ...]:
    common = (
        "UMask=0022",
        "LimitCORE=0",
        "OOMPolicy=stop",
    )
    if nightly.manager is Manager.USER:
        # A user's manager has no rights of its own: what restricts more takes new privileges away as well, and with
        # them newuidmap(1), with which mmdebstrap makes bases.
        return common
    writable = [nightly.build_dir, *nightly.writable]
    return (
        *common,
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        *(f"ReadWritePaths={quoted(f'-{path}', of_command=False)}" for path in writable),
        *(() if any(map(_in_tmp, (nightly.folder, *writable))) else ("PrivateTmp=yes",)),
        "DevicePolicy=closed",
        "DeviceAllow=/dev/kvm rw",
        "# mmdebstrap makes the nodes of a new system, and uses none of them.",
        "DeviceAllow=char-* m",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectControlGroups=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallArchitectures=native",
        "SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap",
        "SystemCallErrorNumber=EPERM",
        "# It mounts in that system, too; nothing here changes the network or the clock.",
        "CapabilityBoundingSet=~CAP_NET_ADMIN CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG",
        "CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_WRITE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_BPF",
    )


def _in_tmp(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in ("/tmp", "/var/tmp"))  # noqa: S108 - what PrivateTmp= hides


def quoted(word: str, *, of_command: bool = True) -> str:
    """A word as a unit's file takes it (systemd.syntax(7)): nothing in it is a specifier or a variable."""
    text = _plain(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("$", "$$") if of_command else text}"'


def _plain(word: str) -> str:
    """Raises UsageError for what no line can hold."""
    if any(ord(character) < ord(" ") or character == "\x7f" for character in word):
        raise UsageError(f"`{word!r}` has a character in it that no unit can hold", hint="call it otherwise")
    return word.replace("%", "%%")


def stamped(text: str) -> str:
    """The text below a line by which it is known to be ours, and unchanged."""
    return f"{_STAMP}{_digest(text)}\n{text}"


def is_own(text: str) -> bool:
    """Whether a file is one that we wrote, and nobody has changed since."""
    head, newline, rest = text.partition("\n")
    return bool(newline) and head == f"{_STAMP}{_digest(rest)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def folder_of(manager: Manager, environment: Mapping[str, str], home: Path) -> Path:
    """Where an administrator's, or a user's own, units are (systemd.unit(5))."""
    if manager is Manager.SYSTEM:
        return Path("/etc/systemd/system")
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "systemd" / "user"


def write_units(folder: Path, units: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the files, and none of them where one is there that is not our own; those that were written.

    Raises UsageError for such a file, HostError where they cannot be written.
    """
    for name in units:
        path = folder / name
        try:
            if path.is_symlink() or not is_own(path.read_text(encoding="utf-8", errors="surrogateescape")):
                raise UsageError(
                    f"{path} is not as metallize nightly --install writes it, and stays",
                    hint="move it away first; what is to be added goes into a drop-in (systemctl edit)",
                )
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise HostError(f"{path}: {exc.strerror or exc}", hint="see what is there") from exc
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            write_whole(folder / name, text)
            (folder / name).chmod(0o644)
    except OSError as exc:
        hint = MAKE_ROOM if exc.errno in FULL else "for the system's systemd: sudo; else --user"
        raise HostError(f"{folder}: {exc.strerror or exc}", hint=hint) from exc
    return tuple(folder / name for name in units)
