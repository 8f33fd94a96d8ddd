"""known.yaml, beside the profiles: failures that are known and may stay for a while. They are told, and do not alarm.

An entry holds until its last date, at most MOST_DAYS ahead; from then on the failure counts again. Each extension is
one more date in the list, so that the file itself says how often there was one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from metallize.config.reading.source import read_tree
from metallize.config.reading.tree import Mapping, Node, find, kind_of, shown
from metallize.config.reading.tree import Sequence as List
from metallize.config.reading.validation import Findings, decode
from metallize.errors import Location, ProfileError
from metallize.model.pattern import LinePattern, parse_line_pattern
from metallize.model.scalars import Frozen, OneLine
from metallize.night.attempt import Attempt, Status

FILE = "known.yaml"
MOST_DAYS = 30
"""So far ahead a date may be, of today and of the date before it."""
CLEAN_NIGHTS = 14
"""After so many nights without it in a row an entry is to be removed."""
_REFERENCE = re.compile(r"https?://\S+|[\w./-]*#\d+|[A-Z][A-Z0-9]+-\d+")


def _dates(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class _Entry(Frozen):
    """One entry as it is written."""

    match: Annotated[OneLine, Field(min_length=1)]
    reference: OneLine
    until: Annotated[tuple[str, ...], BeforeValidator(_dates), Field(min_length=1)]
    machines: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A failure that is known."""

    pattern: LinePattern
    """What its reason or its signature has in it."""
    reference: str
    until: date
    """The last day on which it is known."""
    extensions: int
    machines: tuple[str, ...]
    """Empty: all."""
    profiles: tuple[str, ...]
    """Empty: all that the file stands beside."""
    location: Location

    def covers(self, attempt: Attempt) -> bool:
        """Whether it is about this cell and this failure, whatever the date."""
        return self.about(attempt) and any(map(self.pattern.found_in, (attempt.reason, attempt.signature)))

    def about(self, attempt: Attempt) -> bool:
        """Whether it is about this cell."""
        cell = attempt.cell
        return (not self.machines or cell.machine in self.machines) and (
            not self.profiles or cell.profile in self.profiles
        )


def read_known(path: Path, today: date | None = None) -> tuple[Known, ...]:
    """The entries of a file; none where there is no such file. Raises ProfileError with every problem at its place."""
    if not path.exists():
        return ()
    findings = Findings()
    root = read_tree(path, findings.problems)
    entries: list[Known] = []
    if isinstance(root, List):
        found = [_read(item, findings, today or datetime.now(UTC).date()) for item in root.items]
        entries = [each for each in found if each is not None]
    elif root is not None:
        message = f"{FILE} is a list of known failures, not {kind_of(root)}: `{shown(root)}`"
        findings.add(root.location, message, "- {match: the text, reference: '#12', until: 2026-12-24}")
    if findings.problems:
        raise ProfileError(findings.sorted())
    return tuple(entries)


def _read(item: Node, findings: Findings, today: date) -> Known | None:
    if not isinstance(item, Mapping):
        findings.add(item.location, f"a known failure is a mapping, not {kind_of(item)}: `{shown(item)}`")
        return None
    entry = decode(_Entry, item, findings)
    if entry is None:
        return None
    before = len(findings.problems)
    pattern = _pattern(entry, item, findings)
    if _REFERENCE.fullmatch(entry.reference) is None:
        message = f"`reference`: `{entry.reference}` names nothing that could be looked up"
        findings.add(find(item, ("reference",))[0].location, message, "an address, #12, owner/name#12 or ABC-12")
    dates = _until(entry, item, findings, today)
    if len(findings.problems) > before or pattern is None:
        return None
    return Known(
        pattern=pattern,
        reference=entry.reference,
        until=dates[-1],
        extensions=len(dates) - 1,
        machines=entry.machines,
        profiles=entry.profiles,
        location=item.location,
    )


def _pattern(entry: _Entry, item: Mapping, findings: Findings) -> LinePattern | None:
    place = find(item, ("match",))[0].location
    try:
        pattern = parse_line_pattern(entry.match)
    except ValueError as exc:
        findings.add(place, f"`match`: {exc}")
        return None
    if pattern.inverse or pattern.found_in(""):
        findings.add(place, f"`match`: `{entry.match}` would be any failure", "say what this one has in its reason")
        return None
    return pattern


def _until(entry: _Entry, item: Mapping, findings: Findings, today: date) -> list[date]:
    """The dates, the first to which it was known first."""
    node = find(item, ("until",))[0]
    places = [each.location for each in node.items] if isinstance(node, List) else [node.location]
    dates: list[date] = []
    for text, place in zip(entry.until, places, strict=True):
        try:
            found = date.fromisoformat(text)
        except ValueError:
            findings.add(place, f"`until`: `{text}` is no date", "for example 2026-12-24")
            continue
        if dates and not dates[-1] < found <= dates[-1] + timedelta(days=MOST_DAYS):
            findings.add(place, f"`until`: {found} is not within {MOST_DAYS} days after {dates[-1]}, which it extends")
        dates.append(found)
    if dates and dates[-1] > today + timedelta(days=MOST_DAYS):
        latest = today + timedelta(days=MOST_DAYS)
        message = f"`until`: {dates[-1]} is more than {MOST_DAYS} days ahead"
        findings.add(places[-1], message, f"{latest} is the latest; it can be extended then, by one more date")
    return dates


def with_known(attempt: Attempt, entries: Iterable[Known], today: date) -> Attempt:
    """The attempt with the reference of the known failure that it is, if it is one today."""
    if attempt.status is not Status.FAIL:
        return attempt
    found = next((each for each in entries if each.until >= today and each.covers(attempt)), None)
    return attempt if found is None else replace(attempt, known_issue=found.reference)


def advice(entries: Iterable[Known], attempts: Sequence[Attempt], today: date) -> tuple[str, ...]:
    """What is to be done about entries: those that expire, have expired, match nothing or were clean for long. Pure."""
    found = []
    for each in entries:
        seen = [attempt for attempt in attempts if not attempt.confirms and each.about(attempt)]
        failed = [attempt.night for attempt in seen if attempt.status is Status.FAIL and each.covers(attempt)]
        clean = {attempt.night for attempt in seen if attempt.status is Status.PASS} - set(failed)
        after = sum(night > max(failed, default="") for night in clean)
        times = _times(each.extensions)
        where = f"{each.location}: {each.reference}"
        if after >= CLEAN_NIGHTS:
            why = f"{after} clean nights" if failed else f"{after} nights in which it matched nothing"
            found.append(f"{where}: remove it: {why}")
        elif each.until < today:
            found.append(f"{where}: it has expired on {each.until}{times}: the failure counts again")
        elif each.until <= today + timedelta(days=_SOON_DAYS):
            found.append(f"{where}: it expires on {each.until}{times}")
    return tuple(found)


_SOON_DAYS = 3


def _times(extensions: int) -> str:
    return "" if not extensions else ", extended once" if extensions == 1 else f", extended {extensions} times"
