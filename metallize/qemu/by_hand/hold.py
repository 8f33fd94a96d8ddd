"""Keeps a guest for a person to look at: its serial port on a socket, until Ctrl-C.

The socket has an abstract name (unix(7)) and an ephemeral key lives in memory (memfd_create(2)): neither is on a disk,
so that nothing of them is left however this process ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import shlex
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from metallize.events import Events, Note
from metallize.model.boot import Ssh
from metallize.model.report import BootReport
from metallize.qemu.by_hand.held import Held, recorded, ssh_command
from metallize.qemu.vm import RunningGuest
from metallize.shells.ssh import EPHEMERAL, SshAccess

SSH_PORT = 22


def hold(guest: RunningGuest, report: BootReport, ssh: Ssh | None, access: SshAccess | None, events: Events) -> None:
    """Serve the serial port and say how to get in; returns at Ctrl-C or when QEMU ends."""
    guest.watch.ending()
    with ExitStack() as stack:
        name = f"metallize-{secrets.token_hex(8)}"
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(f"\0{name}")
        server.listen()
        key = stack.enter_context(key_in_memory(access.private_text)) if access and access.private_text else None
        with contextlib.suppress(KeyboardInterrupt):
            stack.enter_context(recorded(held(guest, report, ssh, socket_name=name, key=key), guest.folder))
            for line in ways_in(guest, report, ssh, socket_name=name, key=key):
                events.emit(Note(text=line))
            relay(guest, server)


def ways_in(
    guest: RunningGuest, report: BootReport, ssh: Ssh | None, *, socket_name: str, key: str | None
) -> Iterator[str]:
    """What a person is told: why it failed, the serial port, SSH, and where the evidence is."""
    cause = report.failure.cause if report.failure is not None else f"{len(report.failed_results)} assertions"
    yield f"{report.machine} failed in stage {report.stage} ({cause}), and the guest is kept"
    folder = shlex.quote(str(guest.folder))
    yield f"its serial port, from another terminal: metallize shell {folder}"
    yield f"or: socat -,raw,echo=0,escape=0x1d ABSTRACT-CONNECT:{socket_name}"
    if SSH_PORT in guest.forwards:
        yield f"SSH: metallize ssh {folder}"
        yield f"or: {ssh_command(guest.forwards[SSH_PORT], user_of(ssh), key=key or key_of(ssh))}"
    yield f"its run folder, with report.html: {guest.folder}"
    yield "Ctrl-C ends it"


@contextmanager
def key_in_memory(text: str) -> Iterator[str]:
    """A file that ssh(1) takes a private key from, and that no disk has seen."""
    number = os.memfd_create("metallize-key")
    try:
        os.fchmod(number, 0o600)  # ssh refuses a key that others may read
        os.write(number, text.encode())
        yield f"/proc/{os.getpid()}/fd/{number}"
    finally:
        os.close(number)


def user_of(ssh: Ssh | None) -> str:
    """Who logs in over SSH; empty where nobody is known."""
    return ssh.user if ssh is not None else ""


def key_of(ssh: Ssh | None) -> str | None:
    """The private key's file that the profile names, if any."""
    return ssh.key if ssh is not None and ssh.key != EPHEMERAL else None


def held(guest: RunningGuest, report: BootReport, ssh: Ssh | None, *, socket_name: str, key: str | None) -> Held:
    """What another process must know to get in."""
    return Held(
        machine=report.machine,
        image=str(guest.plan.image),
        console=socket_name,
        ssh_port=guest.forwards.get(SSH_PORT),
        user=user_of(ssh),
        key=key or key_of(ssh) or "",
    )


def relay(guest: RunningGuest, server: socket.socket) -> None:
    """Pass what the console prints to everybody who connected, and what they type to the guest."""
    position = guest.console.position
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        selector.register(server, selectors.EVENT_READ)
        clients: list[socket.socket] = []
        while guest.console.alive:
            for key, _ in selector.select(0.05):
                if key.fileobj is server:
                    client, _ = server.accept()
                    stack.callback(client.close)
                    if not _may_connect(client):
                        client.close()
                        continue
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
                text = guest.console.since(position)[: now - position].replace("\n", "\r\n").encode()
                position = now
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.sendall(text)


def _may_connect(client: socket.socket) -> bool:
    """Whether it is our own user or root: an abstract name has no mode that could say so (SO_PEERCRED, unix(7))."""
    _, user, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (0, os.geteuid())
