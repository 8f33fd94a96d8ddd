"""Which process it is, so that whoever comes later can tell whether it still lives.

A process's number comes again, its number and start together do not, until the host is booted anew (proc_pid_stat(5),
starttime; random(4), boot_id). Numbers of another PID namespace say nothing here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIELDS = 4
_STATE, _START = 0, 19
"""Of /proc/PID/stat, behind the name in parentheses: its fields 3 and 22."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, of whatever host."""

    boot: str
    """The kernel's id of this boot."""
    namespace: str
    """Where its number means something: `pid:[4026531836]`."""
    pid: int
    start: int
    """When it began, in clock ticks since the boot."""

    @classmethod
    def this_process(cls) -> Self:
        """Raises OSError where there is no /proc."""
        pid = os.getpid()
        start = _start_of(pid)
        if start is None:
            raise ProcessLookupError(f"/proc does not tell of this process, {pid}")
        return cls(boot=_boot(), namespace=_namespace(), pid=pid, start=start)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` wrote; None for anything else."""
        fields = text.split(" ")
        if len(fields) != _FIELDS or not all(field.isascii() and field.isdigit() for field in fields[2:]):
            return None
        boot, namespace, pid, start = fields
        if len(pid) + len(start) > 40:  # noqa: PLR2004 - two numbers of 64 bits
            return None
        return cls(boot=boot, namespace=namespace, pid=int(pid), start=int(start))

    def __str__(self) -> str:
        return f"{self.boot} {self.namespace} {self.pid} {self.start}"

    @property
    def same_boot(self) -> bool:
        """Whether this host has not been booted since."""
        return self.boot == _boot()

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; not where nothing is known of it."""
        if not self.same_boot or self.namespace != _namespace():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:  # another user's
            pass
        if not Path(f"/proc/{self.pid}").exists():  # hidden from this user: proc(5), hidepid
            return False
        return _start_of(self.pid) != self.start


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="utf-8").strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _start_of(pid: int) -> int | None:
    """When the process began; None where it has ended, and be it as a zombie."""
    with suppress(OSError, IndexError, ValueError):
        # the name may hold blanks and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[_STATE] not in "ZX":
            return int(fields[_START])
    return None
