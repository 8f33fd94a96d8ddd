"""Who fetched what: each transfer as a value, and all of them added up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from metallize.serve.archive import shown


class Protocol(StrEnum):
    HTTP = "http"
    TFTP = "tftp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One transfer that is over, whole or not."""

    address: str
    """Of the one who asked."""
    protocol: Protocol
    file: str
    bytes_sent: int = 0
    seconds: float = 0.0
    problem: str = ""
    """Why it is not whole; empty where it is."""

    def __str__(self) -> str:
        over = f"over {self.protocol.upper()}"
        if self.problem:
            sent = f" after {size(self.bytes_sent)}" if self.bytes_sent else ""
            return f"{self.address}  {self.file} {over}{sent}: {self.problem}"
        return f"{self.address}  {self.file} {over}: {size(self.bytes_sent)} in {self.seconds:.1f} s"


def size(count: int) -> str:
    """`391 B`, `40.7 MB`."""
    if count < 1000:  # noqa: PLR2004 - a kilobyte
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"  # noqa: PLR2004 - a megabyte


MOST_FETCHES = 10_000
"""So many are kept; whoever asks for more may ask for ever."""


class FetchLog:
    """The transfers since it was made, the first of them; told by the servers' threads, read by anybody."""

    def __init__(self, on_fetch: Callable[[Fetch], None] = lambda _: None) -> None:
        self._on_fetch = on_fetch
        self._fetches: list[Fetch] = []
        self._more = 0
        self._lock = threading.Lock()

    def add(self, fetch: Fetch) -> None:
        """One more; a name that is no file's may hold anything, and is kept as it is shown."""
        fetch = replace(fetch, file=shown(fetch.file))
        with self._lock:
            if len(self._fetches) < MOST_FETCHES:
                self._fetches.append(fetch)
            else:
                self._more += 1
            self._on_fetch(fetch)

    @property
    def more(self) -> int:
        """How many there were that are not kept."""
        with self._lock:
            return self._more

    @property
    def fetches(self) -> tuple[Fetch, ...]:
        with self._lock:
            return tuple(self._fetches)

    def summary(self) -> tuple[str, ...]:
        """A line for each one who fetched, in the order in which they came."""
        lines = []
        fetches = self.fetches
        for address in dict.fromkeys(each.address for each in fetches):
            theirs = [each for each in fetches if each.address == address]
            whole = list(dict.fromkeys(each.file for each in theirs if not each.problem))
            broken = list(dict.fromkeys(each.file for each in theirs if each.problem and each.file not in whole))
            sent = sum(each.bytes_sent for each in theirs)
            parts = [f"{address}  {size(sent)}", ", ".join(whole) or "nothing whole"]
            lines.append(": ".join(parts) + (f"; not: {', '.join(broken)}" if broken else ""))
        return (*lines, f"and {self.more} more that are not told apart") if self.more else tuple(lines)
