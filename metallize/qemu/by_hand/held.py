"""Guests that are held for a person, and how another process finds them and gets in.

Whoever holds one writes down in its run folder how to get in, for as long as it does. What says that it still does is
the socket of the serial port: its name comes never again, and the kernel takes it away with the process.
"""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from metallize.files.json_file import read_mapping

RECORD = "held.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A guest that somebody holds."""

    machine: str
    image: str
    """The file that it was booted from."""
    console: str
    """The abstract name (unix(7)) of its serial port."""
    ssh_port: int | None
    """Of 127.0.0.1; None where nothing leads in."""
    user: str = ""
    key: str = ""
    """A private key's file, in the holder's memory or on a disk."""

    def reached(self) -> socket.socket | None:
        """A connection to its serial port; None where nobody holds it any more."""
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(f"\0{self.console}")
        except (OSError, ValueError):
            line.close()
            return None
        return line


@contextmanager
def recorded(held: Held, folder: Path) -> Iterator[None]:
    """Have others find it while the body runs; the run folder is our own user's alone."""
    record = folder / RECORD
    record.touch(mode=0o600)
    record.write_text(json.dumps(asdict(held), indent=1) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def read(folder: Path) -> Held | None:
    """The guest of a run that is held now; None where there is none."""
    try:
        content = read_mapping(folder / RECORD)
        held = Held(
            machine=str(content["machine"]),
            image=str(content["image"]),
            console=str(content["console"]),
            ssh_port=int(content["ssh_port"]) if content["ssh_port"] is not None else None,
            user=str(content["user"]),
            key=str(content["key"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    line = held.reached()
    if line is None:
        return None
    line.close()
    return held


def held_guests(runs: Path) -> dict[Path, Held]:
    """Those that are held now, by the folders of their runs, the newest last. What a killed process left is removed."""
    found: dict[Path, Held] = {}
    for record in sorted(runs.rglob(RECORD), key=lambda path: (path.parent.name, path)):
        held = read(record.parent)
        if held is not None:
            found[record.parent] = held
        else:
            with suppress(OSError):
                record.unlink()
    return found


def ssh_argv(port: int, user: str, *, key: str | None = None) -> tuple[str, ...]:
    """OpenSSH's client, as it logs in to a guest; a machine of one boot has no host key that anybody could know."""
    identity = ("-i", key, "-o", "IdentitiesOnly=yes") if key else ()
    unknown = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    return ("ssh", *identity, "-p", str(port), *unknown, f"{user or 'USER'}@127.0.0.1")


def ssh_command(port: int, user: str, *, key: str | None = None) -> str:
    """What a person types to log in over SSH."""
    return shlex.join(ssh_argv(port, user, key=key))
