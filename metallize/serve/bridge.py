"""One connection of a guest: QEMU's end on the standard streams, our HTTP server on a port of the loopback.

QEMU starts it for each connection to the one address that a closed network has (guestfwd=...-cmd:, see
qemu-system-x86_64(1)). Written with Python's own modules alone: it starts in milliseconds, and repro.sh carries it.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

_PIECE_BYTES = 1 << 16


def bridge(port: int, near: int = 0, out: int = 1) -> None:
    """Pass bytes both ways until the server hangs up. Raises OSError where one of the two is gone."""
    with socket.create_connection(("127.0.0.1", port)) as server, selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is server:
                    data = server.recv(_PIECE_BYTES)
                    if not data:
                        return
                    while data:
                        data = data[os.write(out, data) :]
                else:
                    data = os.read(near, _PIECE_BYTES)
                    server.sendall(data)
                    if not data:  # it has nothing more to ask, and may still wait for the answer
                        selector.unregister(near)
                        server.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    try:
        bridge(int(sys.argv[1]))
    except OSError:  # one of the two is gone: so is the connection
        sys.exit(1)
