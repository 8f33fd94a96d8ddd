"""Files and sockets that programs inherit and that have no name: gone as soon as nobody holds them open."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

_SO_SNDBUFFORCE = 32
_SEND_BYTES = 16 << 20
"""An UART writes byte by byte, and the kernel counts each as a packet of some 800 bytes. QEMU drops what finds no room
after a few attempts; so there is room for 20,000 characters that nobody has read yet (socket(7), unix(7))."""


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


def memory_file(stack: ExitStack) -> int:
    """A new file that no disk holds, open for reading and writing until the stack is left (memfd_create(2))."""
    number = os.memfd_create("metallize")
    stack.callback(os.close, number)
    return number


def descriptor_path(number: int) -> Path:
    """What a process that inherited a descriptor opens its file by."""
    return Path(f"/proc/self/fd/{number}")


def socket_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Our end and QEMU's, both closed with the stack."""
    near, far = socket.socketpair()
    with contextlib.suppress(PermissionError):  # root's; others have what the system allows: net.core.wmem_max
        far.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BYTES)
    stack.callback(far.close)
    stack.callback(near.close)
    return near, far
