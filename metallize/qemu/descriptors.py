"""Files and sockets that programs inherit and that have no name: gone as soon as nobody holds them open."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path


def nameless_file(stack: ExitStack, folder: Path) -> int:
    """A new file in a folder that no name leads to, open for reading and writing until the stack is left."""
    try:
        number = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        # a file system that makes none (NFS, older overlayfs): for a moment it has a name
        number, name = tempfile.mkstemp(dir=folder, prefix=".disk-")
        Path(name).unlink()
    stack.callback(os.close, number)
    return number


def descriptor_path(number: int) -> Path:
    """What a process that inherited a descriptor opens its file by."""
    return Path(f"/proc/self/fd/{number}")


def socket_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Our end and QEMU's, both closed with the stack."""
    near, far = socket.socketpair()
    stack.callback(far.close)
    stack.callback(near.close)
    return near, far
