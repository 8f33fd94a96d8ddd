"""Where releases go. Each module here is a kind of destination, with `SCHEMES` and `open_destination(place)`.

To add one is to add a file: tests/release/test_destinations.py runs every one through the same cases.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from metallize.config.reading.suggest import did_you_mean
from metallize.errors import UsageError
from metallize.events import Events

_OF_A_FOLDER = ("", "file")
Fill = Callable[[BinaryIO], None]
"""Writes all of a file's content."""


class Session(Protocol):
    """One change of one channel, by whoever is alone in it."""

    def pointer(self, name: str) -> bytes | None:
        """What a file that is written anew with every switch holds now; None where there is none."""
        ...

    def whole(self, name: str) -> bool:
        """Whether a file of this name is there to its end: put, now or by a killed session, or published."""
        ...

    def published(self, name: str) -> bool:
        """Whether clients see a file of this name in this channel."""
        ...

    def put(self, name: str, fill: Fill, about_bytes: int = 0) -> None:
        """Store a file that no client sees yet. It is there whole, whatever happens, or `whole` says that it is not.

        A large one is told about by its size, or what that is at the most.
        """
        ...

    def take(self, name: str, channel: str) -> None:
        """The same with a file that another channel has published."""
        ...

    def discard(self, name: str) -> None:
        """Take a file away that no client has seen."""
        ...

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file that is there whole, as a client would be given it."""
        ...

    def switch(self, names: Collection[str], pointers: Mapping[str, bytes]) -> None:
        """From now on clients see these files and pointers, and nothing else: all at once."""
        ...


class Destination(Protocol):
    """A place with channels."""

    @property
    def place(self) -> str:
        """Where it is, as a person names it."""
        ...

    def channels(self) -> tuple[str, ...]:
        """Those that were ever switched to, in the order of their names."""
        ...

    def pointer(self, channel: str, name: str) -> bytes | None:
        """What clients read there now; None where there is none."""
        ...

    def session(self, channel: str, events: Events) -> AbstractContextManager[Session]:
        """Wait until nobody else changes the destination, and be alone in it. Makes it where it is not there."""
        ...


def destination_at(text: str) -> Destination:
    """The destination that is meant by `--to`: a folder, or SCHEME://... of one of the modules here.

    Raises UsageError for a scheme that none of them knows, and for an address that its module does not understand.
    """
    scheme, kinds = scheme_of(text), _kinds()
    if scheme not in kinds:
        raise UsageError(
            f"{text}: there is no destination of the kind {scheme}",
            hint=did_you_mean(scheme, schemes())
            or f"name a folder, or {', '.join(f'{each}://' for each in schemes())}",
        )
    return kinds[scheme](text)


def scheme_of(text: str) -> str:
    """What stands before :// in an address; empty for a folder."""
    match = re.match(r"([a-z][a-z0-9+.-]*)://", text)
    return match[1] if match else ""


def schemes() -> tuple[str, ...]:
    """All that there are, beside those of a folder, whose path says the same."""
    return tuple(sorted(each for each in _kinds() if each not in _OF_A_FOLDER))


def _kinds() -> Mapping[str, Callable[[str], Destination]]:
    kinds: dict[str, Callable[[str], Destination]] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        kinds.update(dict.fromkeys(module.SCHEMES, module.open_destination))
    return kinds
