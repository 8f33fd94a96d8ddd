"""Keeps a guest for a person to look at: its serial port on a socket, until Ctrl-C."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
from pathlib import Path

from metallize.events import Events, Note
from metallize.model.profile import Ssh
from metallize.qemu.vm import RunningGuest


def hold(guest: RunningGuest, folder: Path, ssh: Ssh | None, events: Events) -> None:
    """Serve the serial port on a unix socket and say how to get in; returns at Ctrl-C or when QEMU ends."""
    watch = guest.watch
    watch.ending()
    with tempfile.TemporaryDirectory(prefix="metallize-") as place, socket.socket(socket.AF_UNIX) as server:
        path = Path(place) / "serial"
        server.bind(str(path))
        server.listen()
        with contextlib.suppress(KeyboardInterrupt):
            events.emit(
                Note(text=f"the guest is kept; its serial port: socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:{path}")
            )
            if 22 in guest.forwards:  # noqa: PLR2004 - SSH's port
                events.emit(Note(text=ssh_command(guest.forwards[22], ssh)))
            events.emit(Note(text=f"its run folder: {folder}; Ctrl-C ends it"))
            relay(guest, server)


def ssh_command(port: int, ssh: Ssh | None) -> str:
    """What a person types to log in over SSH."""
    user = ssh.user if ssh is not None else "USER"
    identity = f"-i {ssh.key} " if ssh is not None and ssh.key not in (None, "ephemeral") else ""
    return f"ssh {identity}-p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {user}@127.0.0.1"


def relay(guest: RunningGuest, server: socket.socket) -> None:
    """Pass what the console prints to everybody who connected, and what they type to the guest."""
    clients: list[socket.socket] = []
    position = guest.console.position
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while guest.console.alive:
            for key, _ in selector.select(0.05):
                if key.fileobj is server:
                    client, _ = server.accept()
                    selector.register(client, selectors.EVENT_READ)
                    clients.append(client)
                    continue
                client = key.fileobj  # type: ignore[assignment]  # only sockets are registered
                data = b""
                with contextlib.suppress(OSError):
                    data = client.recv(4096)
                if data:
                    guest.console.write(data)
                else:
                    selector.unregister(client)
                    clients.remove(client)
                    client.close()
            now = guest.console.position
            if now > position:
                text = guest.console.since(position).replace("\n", "\r\n").encode()
                position = now
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.sendall(text)
    for client in clients:
        client.close()
