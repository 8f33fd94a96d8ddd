"""From a port of the host to a server in the guest that has begun to speak SSH."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from metallize.deadline import Deadline
from metallize.guest import Watch
from metallize.model.report import Stage
from metallize.patience import SSH_BANNER_LATEST_START as _LATEST_START_SECONDS
from metallize.patience import SSH_BANNER_LINE as _LINE_SECONDS
from metallize.patience import SSH_BANNER_NETWORK as _NETWORK_SECONDS
from metallize.patience import SSH_BANNER_NEXT_ATTEMPT as _NEXT_ATTEMPT_SECONDS
from metallize.patience import SSH_BANNER_OTHER as _OTHER_SECONDS
from metallize.patience import SSH_BANNER_PART as _PART_SECONDS
from metallize.patience import SSH_BANNER_RETRY as _RETRY_SECONDS
from metallize.shells.ssh_connection import MOST_PATIENT, in_words

BANNER = b"SSH-"
BANNER_BYTES = 255
"""Of a server's first line, its end included (RFC 4253, 4.2)."""


def await_network(watch: Watch, deadline: Deadline, given_up: Callable[[], bool]) -> None:
    """Wait until the guest's network may be up; to ask before that harms (see _NEXT_ATTEMPT_SECONDS)."""

    def look() -> bool | None:
        if watch.network_started or watch.stage.rank >= Stage.LOGIN.rank or given_up():
            return True
        begun = [item.seconds for item in watch.stages if item.stage is Stage.USERSPACE]
        late = bool(begun) and watch.seconds - begun[0] > _LATEST_START_SECONDS * watch.slowness
        return True if late else None

    watch.wait(look, deadline)
    watch.wait(
        lambda: True if watch.stage.rank >= Stage.LOGIN.rank or given_up() else None,
        deadline.sooner(_NETWORK_SECONDS * watch.slowness, "an address"),
    )


@dataclass(slots=True)
class Attempts:
    """How the attempts to reach a server went: what a person is told when none did."""

    refused: int = 0
    unanswered: int = 0
    other: bytes = b""
    host: str = ""

    def problem(self) -> str:
        if self.host:
            return f"the host's port that leads to the guest did not take the connection: {self.host}"
        if self.other:
            said = self.other.decode(errors="replace").strip()[:80]
            return f"what answers is no SSH server: it said {said!r}"
        if self.refused:
            return "the guest refused the connection: nothing listens there, or its firewall rejects it"
        if self.unanswered:
            return "no SSH server answered: the connection was never taken, or nothing was said on it"
        return "no SSH server answered"


def wait_for_banner(
    port: int,
    watch: Watch,
    deadline: Deadline,
    *,
    given_up: Callable[[], bool] = lambda: False,
    attempts: Attempts | None = None,
) -> socket.socket | None:
    """A connection on which a server has said that it speaks SSH; None when the time is over, or others speak there.

    The host's side of a forwarded port accepts before anything listens in the guest.
    """
    seen = attempts or Attempts()
    waiting: dict[socket.socket, float] = {}
    pause: float = _NEXT_ATTEMPT_SECONDS
    next_attempt = 0.0
    other_since: float | None = None
    slowness = min(max(1.0, watch.slowness), MOST_PATIENT)
    line_seconds = _LINE_SECONDS * slowness
    with selectors.DefaultSelector() as selector:
        try:
            while not deadline.expired and not given_up():
                watch.check()
                now = time.monotonic()
                if other_since is not None and now > other_since + _OTHER_SECONDS * slowness:
                    return None
                if now >= next_attempt:
                    next_attempt = now + pause
                    pause *= 2
                    begun = _connected(port, seen)
                    if begun is not None:
                        selector.register(begun, selectors.EVENT_READ)
                        waiting[begun] = now
                for client in [cast("socket.socket", key.fileobj) for key, _ in selector.select(0.1)]:
                    said = _said(client)
                    if is_whole(said):
                        del waiting[client]
                        return client
                    if _ended(client, said, late=now > waiting[client] + line_seconds):
                        # the guest itself refused: its network is up, and asking again costs nothing
                        seen.refused += not said
                        seen.other = said
                        other_since = (other_since or now) if said else None
                        selector.unregister(client)
                        del waiting[client]
                        client.close()
                        pause = _NEXT_ATTEMPT_SECONDS
                        next_attempt = min(next_attempt, now + _RETRY_SECONDS)
            return None
        finally:
            seen.unanswered = len(waiting)
            for client in waiting:
                client.close()


def _connected(port: int, seen: Attempts) -> socket.socket | None:
    try:
        client = socket.create_connection(("127.0.0.1", port), timeout=2)
    except OSError as exc:
        seen.host = in_words(exc)
        return None
    seen.host = ""
    client.setblocking(False)
    return client


def is_whole(said: bytes) -> bool:
    """Whether this is the first line of an SSH server, which has an end; pure."""
    return said.startswith(BANNER) and b"\n" in said


def may_be_ssh(said: bytes) -> bool:
    """Whether such a line may have begun with this; pure."""
    return bool(said) and (said[: len(BANNER)] == BANNER[: len(said)]) and len(said) < BANNER_BYTES


def _ended(client: socket.socket, said: bytes, *, late: bool) -> bool:
    """Whether nothing that is SSH comes on it any more."""
    if may_be_ssh(said) and not late:
        time.sleep(_PART_SECONDS)  # what has come of the line stays readable
        return False
    return bool(said) or _closed(client)


def _said(client: socket.socket) -> bytes:
    try:
        return client.recv(BANNER_BYTES, socket.MSG_PEEK)
    except OSError:
        return b""


def _closed(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
