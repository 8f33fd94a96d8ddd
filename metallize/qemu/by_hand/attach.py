"""The terminal on the serial port of a guest that another process holds."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import tty

from metallize.qemu.by_hand.interactive import terminal_restored

LEAVE = b"\x1d"
"""Ctrl-], as telnet(1) has it."""
_BYTES = 4096


def attach(line: socket.socket) -> None:
    """Pass on what is typed and what is printed, until Ctrl-] or the guest's end.

    Input that ends (no terminal, but a file) ends the typing alone: what is printed goes on.
    """
    typing, printing = sys.stdin.fileno(), sys.stdout.fileno()
    with terminal_restored(), selectors.DefaultSelector() as selector, contextlib.suppress(ConnectionError):
        if os.isatty(typing):
            tty.setraw(typing)
        selector.register(line, selectors.EVENT_READ)
        is_file = not _register(selector, typing)
        while True:
            ready = {key.fd for key, _ in selector.select(0 if is_file else None)}
            if line.fileno() in ready:
                data = line.recv(_BYTES)
                if not data:
                    return
                _put(printing, data)
            if typing in ready or is_file:
                data = os.read(typing, _BYTES)
                before, leave, _ = data.partition(LEAVE)
                line.sendall(before)
                if leave:
                    return
                if not data:
                    is_file = False
                    with contextlib.suppress(KeyError):
                        selector.unregister(typing)


def _register(selector: selectors.BaseSelector, number: int) -> bool:
    """Whether it can be waited for; a regular file can always be read, and is refused (epoll_ctl(2), EPERM)."""
    try:
        selector.register(number, selectors.EVENT_READ)
    except PermissionError:
        return False
    return True


def _put(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]
