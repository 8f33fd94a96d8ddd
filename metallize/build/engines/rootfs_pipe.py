"""The rootfs's way from the build that exports it into the generator's container: a named pipe in the work folder.

A container's attached standard input passes through the engine twice, which costs more than everything the
generator does with it; a pipe in a folder that both see costs nothing (fifo(7)).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

NAME = ".rootfs"
READER = ("/bin/sh", "-c", f'exec </out/{NAME} && rm /out/{NAME} && exec "$0" "$@"')
"""Runs the rest of its arguments with the pipe as standard input; the pipe's name goes as soon as it is open."""
_BYTES = 1 << 20
_LOOK_SECONDS = 0.01


class RootfsPipe:
    """A pipe that stays open while its reader or its writer is still to come."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        os.mkfifo(self.path, 0o600)
        # Linux opens both ends at once without waiting for anybody.
        self._held: int | None = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._lock = threading.Lock()
        fcntl.fcntl(self._held, fcntl.F_SETPIPE_SZ, _BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.path.unlink(missing_ok=True)

    @property
    def waiting(self) -> bool:
        """Whether no reader has opened it yet."""
        return self.path.exists()

    def writer(self) -> BinaryIO:
        """The end to write to, for a process that inherits it."""
        return self.path.open("wb", buffering=0)

    def finish(self, *, given_up: Callable[[], bool]) -> None:
        """All is written: let the reader come to the end, once there is one, or until `given_up`."""
        while self.waiting and not given_up():
            time.sleep(_LOOK_SECONDS)
        self.release()

    def release(self) -> None:
        """Let go: a reader sees the end when the writer has ended, a writer fails when the reader has."""
        with self._lock:
            if self._held is not None:
                os.close(self._held)
                self._held = None
