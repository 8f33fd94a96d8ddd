"""QEMU's sandbox: what it may not ask of the kernel once it runs (seccomp(2); qemu-system-x86_64(1), -sandbox).

A guest that breaks out of the emulation finds a process that starts no program, gains no rights and changes no other.
"""

from __future__ import annotations

import functools
import shutil
from datetime import timedelta

from metallize.command import run
from metallize.errors import CommandError

NOTE = (
    "QEMU ran without its sandbox, which this host's QEMU or kernel does not have: a guest that breaks out of the "
    "emulation has all the rights of this user"
)
_QUIT = '{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
_PATIENCE = timedelta(seconds=20)


def option(*, spawns: bool = False) -> tuple[str, str]:
    """The option; `spawns` where QEMU itself has to start a program for each connection of its guest.

    Such a program begins a session of its own (setsid(2)), which `elevateprivileges` would kill it for. That nothing
    gains rights by starting a program holds all the same: a filter comes with PR_SET_NO_NEW_PRIVS (prctl(2)).
    """
    rights = "" if spawns else "elevateprivileges=deny,spawn=deny,"
    return ("-sandbox", f"on,obsolete=deny,{rights}resourcecontrol=deny")


@functools.cache
def available(qemu: str) -> bool:
    """Whether this QEMU starts in its sandbox; tried once, with a machine of nothing.

    True where it is not installed, which is told by whoever starts it.
    """
    if shutil.which(qemu) is None:
        return True
    empty = ("-no-user-config", "-nodefaults", "-display", "none", "-machine", "none", "-S", "-qmp", "stdio")
    try:
        return run((qemu, *option(), *empty), check=False, stdin=_QUIT, timeout=_PATIENCE).status == 0
    except CommandError:  # it does not end
        return False
