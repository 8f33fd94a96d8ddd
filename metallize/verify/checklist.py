"""Everything that will be judged, known before the machine is switched on, and what became of it.

A verification passes only where every entry was seen to hold, or the profile says to skip it. What nobody settles stays
unseen: whoever forgets an entry, or dies on the way to it, cannot make an image pass.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from metallize.model.report import Entry, Result, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Which boot of a verification it is."""

    name: str
    """What the ids of its entries begin with."""
    suffix: str = ""
    """What their titles end in."""

    @property
    def is_first(self) -> bool:
        return self.name == FIRST.name

    def entry(self, id_: str, title: str, kind: str, *, location: str = "") -> Entry:
        """An entry of this boot; its phase is what its id begins with."""
        return Entry(
            id=f"{self.name}/{id_}",
            title=f"{title}{self.suffix}",
            kind=kind,
            phase=id_.partition("/")[0],
            location=location,
        )


FIRST = Turn(name="boot")
AFTER_REBOOT = Turn(name="reboot", suffix=" after a reboot")
AFTER_POWER_CUT = Turn(name="power-cut", suffix=" after a power cut")
AFTER_UPDATE = Turn(name="update", suffix=" after the update")


def at_moment(number: int) -> Turn:
    """The boot of a disk as it was at one of the moments at which the power might have gone; counted from 1."""
    return Turn(name=f"moment-{number}", suffix=f" at moment {number}")


class Checklist:
    """The entries of a verification in their order; whoever looks at one settles it, once."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._settled: dict[str, Result] = {}
        for entry in entries:
            if entry.id in self._entries:
                raise AssertionError(f"the checklist has two entries {entry.id}")
            self._entries[entry.id] = entry

    def __contains__(self, id_: str) -> bool:
        return id_ in self._entries

    def __getitem__(self, id_: str) -> Entry:
        return self._entries[id_]

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries.values())

    def settle(self, *results: Result) -> None:
        """What became of entries. Raises AssertionError for one that is not on the list, or is settled already."""
        with self._lock:
            for result in results:
                if result.id not in self._entries:
                    raise AssertionError(f"{result.id} is not on the checklist")
                if result.id in self._settled:
                    raise AssertionError(f"{result.id} was settled already")
                self._settled[result.id] = result

    def is_settled(self, id_: str) -> bool:
        with self._lock:
            return id_ in self._settled

    @property
    def holds_so_far(self) -> bool:
        """Whether all that was settled yet is good; of what is left nothing is known."""
        with self._lock:
            return all(result.holds for result in self._settled.values())

    @property
    def passed(self) -> bool:
        """Whether every entry held, or is skipped. A list of nothing proves nothing."""
        with self._lock:
            return bool(self._entries) and all(
                id_ in self._settled and self._settled[id_].status in (Status.HELD, Status.SKIPPED)
                for id_ in self._entries
            )

    def results(self, why_unseen: str = "nobody came to look at it") -> tuple[Result, ...]:
        """Every entry, no more and no less; what was not settled is unseen, and `why_unseen` says why."""
        with self._lock:
            return tuple(self._settled.get(id_) or entry.unseen(why_unseen) for id_, entry in self._entries.items())
