"""build/nightly/told.json: what was delivered, not what was seen. What was not delivered is told the next time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metallize.build.store import write_json
from metallize.errors import HostError
from metallize.events import Events, Level, Note
from metallize.files.json_file import as_mapping, read_mapping
from metallize.night.history import FOLDER
from metallize.night.telling.digest import Digest, Item, new_of

FILE, LOCK = "told.json", "told.lock"
_SCHEMA = 1
_MOST = 5000
"""So many keys are kept, the newest: years of them."""

Deliver = Callable[[Digest], str]
"""Hands a digest to people; why it could not, empty where it could."""


@dataclass(slots=True)
class Told:
    """What people know."""

    since: str = ""
    """The first night that is told of: what was before anybody was told is old."""
    keys: dict[str, str] = field(default_factory=dict)
    """What was delivered, with its night."""


def tell(build_dir: Path, items: Sequence[Item], night: str, deliver: Deliver, events: Events) -> Digest | None:
    """Deliver what is new of these, and write down that it was; None where nothing was. It raises nothing for that.

    `night` is the one that is told of where nobody was told of any before.
    """
    path = build_dir / FOLDER / FILE
    try:
        with _alone(path):
            told = _read(path)
            told.since = told.since or night
            # A night before the first one: some clock was wrong then, or is now.
            digest = new_of(items, told.keys, min(told.since, night))
            why = "" if digest is None else deliver(digest)
            if why:
                _warn(events, f"{digest.title if digest else ''}: it could not be told: {why}")
            elif digest is not None:
                told.keys |= {each.key: each.night for each in digest.items}
            _write(path, told)
            return None if why else digest
    except (OSError, HostError) as exc:
        _warn(events, f"what is to be told cannot be written down: {exc}")
        return None


def _warn(events: Events, text: str) -> None:
    events.emit(Note(text=f"nightly: {text}", level=Level.WARNING))


def _read(path: Path) -> Told:
    """What was told; nothing where that cannot be read."""
    try:
        data = read_mapping(path)
        keys = {str(key): str(night) for key, night in as_mapping(data["told"]).items()}
        return Told(since=str(data["since"]), keys=keys)
    except (OSError, ValueError, LookupError, TypeError):
        return Told()


def _write(path: Path, told: Told) -> None:
    newest = sorted(told.keys.items(), key=lambda item: item[1])[-_MOST:]
    write_json(path, {"schema": _SCHEMA, "since": told.since, "told": dict(newest)})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two that tell take turns: nothing is told twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path.with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
